package dashboards

// Colours by their meaning. Where one says something, a word or a number beside it
// says the same, for whoever can't tell them apart.
const (
	good    = "green"
	waiting = "blue"
	bad     = "orange"
	worst   = "red"
	plain   = "text"
)

// newPanel is a panel without queries. The description tells what to do about what
// the panel shows; Grafana shows it behind the panel's i.
func newPanel(kind, title, description string) panel {
	return panel{
		Type: kind, Title: title, Description: description, Datasource: prometheus(),
		FieldConfig: &fieldConfig{
			Defaults:  field{Unit: "short", Color: color{Mode: "thresholds"}, Mappings: []mapping{}, Thresholds: colored(plain)},
			Overrides: []override{},
		},
	}
}

// colored is a scale that begins with a colour and changes at each step.
func colored(first string, steps ...step) *thresholds {
	return &thresholds{Mode: "absolute", Steps: append([]step{{Color: first}}, steps...)}
}

func from(value float64, c string) step { return step{Color: c, Value: &value} }

// unit sets the unit of all values and, where Grafana's own choice is a bad one, the
// decimals.
func (p panel) unit(unit string, decimals ...int) panel {
	p.FieldConfig.Defaults.Unit = unit
	for _, d := range decimals {
		p.FieldConfig.Defaults.Decimals = &d
	}
	return p
}

// most is the end of the axis, where more would mean nothing.
func (p panel) most(value float64) panel {
	p.FieldConfig.Defaults.Max = &value
	return p
}

// scale colours values: first at the bottom, and anew at each step.
func (p panel) scale(first string, steps ...step) panel {
	p.FieldConfig.Defaults.Thresholds = colored(first, steps...)
	return p
}

// says replaces values by words.
func (p panel) says(words ...mapping) panel {
	p.FieldConfig.Defaults.Mappings = words
	return p
}

// empty is what the panel says where Prometheus has nothing, and that is no fault.
func (p panel) empty(text string) panel {
	p.FieldConfig.Defaults.NoValue = text
	return p
}

// runbooks links to what to do about these alerts.
func (p panel) runbooks(alerts ...string) panel {
	for _, alert := range alerts {
		p = p.leads("Runbook: "+alert, runbookBase+alert+".md", true)
	}
	return p
}

// opens links to the dashboard that tells more, with what is chosen here.
func (p panel) opens(uid, title string) panel {
	return p.leads("Open "+title, "/d/"+uid+"?${__url_time_range}&${__all_variables}", false)
}

// explained links to a page of docs/.
func (p panel) explained(title, page string) panel {
	return p.leads(title, docsBase+page, true)
}

func (p panel) leads(title, url string, elsewhere bool) panel {
	p.Links = append(p.Links, dashboardLink{Title: title, Type: "link", URL: url, Icon: "external link", Tags: []string{}, TargetBlank: elsewhere})
	return p
}

const (
	docsBase    = "https://funlab.casa/attestation_exporter/docs/"
	runbookBase = docsBase + "runbooks/"
)

// ask is one query; instantly, or over the dashboard's time range.
func ask(refID, expr, legend string, instantly bool) target {
	format := "time_series"
	if instantly {
		format = "table"
	}
	return target{
		RefID: refID, Datasource: prometheus(), Expr: expr, LegendFormat: legend, Format: format,
		Instant: instantly, Range: !instantly, EditorMode: "code",
	}
}

// refID names the queries of a panel A, B, C, as Grafana does.
func refID(i int) string { return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i : i+1] }

type reduceOptions struct {
	Calcs  []string `json:"calcs"`
	Fields string   `json:"fields"`
	Values bool     `json:"values"`
}

type statOptions struct {
	ReduceOptions reduceOptions `json:"reduceOptions"`
	ColorMode     string        `json:"colorMode"`
	GraphMode     string        `json:"graphMode"`
	JustifyMode   string        `json:"justifyMode"`
	Orientation   string        `json:"orientation"`
	TextMode      string        `json:"textMode"`
	WideLayout    bool          `json:"wideLayout"`

	ShowPercentChange      bool   `json:"showPercentChange"`
	PercentChangeColorMode string `json:"percentChangeColorMode"`
}

// stat is one number.
func stat(title, description, expr string) panel {
	p := newPanel("stat", title, description)
	p.Targets = []target{ask("A", expr, "", true)}
	p.Options = statOptions{
		ReduceOptions: reduceOptions{Calcs: []string{"lastNotNull"}},
		ColorMode:     "value", GraphMode: "none", JustifyMode: "center", Orientation: "auto", TextMode: "value", WideLayout: true,
		PercentChangeColorMode: "standard",
	}
	return p
}

// count is how many there are of something that there should be none of: expr has a
// series for each. With none of them the count is 0, and not without a value.
func count(title, description, expr, color string) panel {
	return stat(title, description, "count("+expr+") or vector(0)").unit("none", 0).scale(good, from(1, color))
}
