package dashboards

// A column of a table shows a label of the results, or the value that one query
// gives for them. All queries of a table give the same labels: they are merged into
// one row for each set of values.
type column struct {
	heading string
	label   string // or
	expr    string

	width    int // in pixels; 0 shares what is left
	unit     string
	decimals *int
	words    []mapping
	colors   *thresholds
	paint    paint
	link     link
}

// paint is how a cell shows its colour.
type paint string

const (
	unpainted  paint = ""
	background paint = "color-background"
	letters    paint = "color-text"
)

type tableOptions struct {
	ShowHeader bool     `json:"showHeader"`
	CellHeight string   `json:"cellHeight"`
	SortBy     []sortBy `json:"sortBy"`
	FrameIndex int      `json:"frameIndex"`
}

type sortBy struct {
	DisplayName string `json:"displayName"`
	Desc        bool   `json:"desc"`
}

type cellStyle struct {
	Type string `json:"type"`
	Mode string `json:"mode,omitempty"`
}

type tableStyle struct {
	Align       string    `json:"align"`
	CellOptions cellStyle `json:"cellOptions"`
	Filterable  bool      `json:"filterable"`
	Inspect     bool      `json:"inspect"`
	MinWidth    int       `json:"minWidth"`
}

// table has a row for each set of labels that its queries give.
func table(title, description string, columns ...column) panel {
	p := newPanel("table", title, description)
	p.FieldConfig.Defaults.Custom = tableStyle{Align: "auto", CellOptions: cellStyle{Type: "auto"}, MinWidth: 60}
	p.Options = tableOptions{ShowHeader: true, CellHeight: "sm", SortBy: []sortBy{}}
	index, rename := map[string]int{}, map[string]string{}
	for i, c := range columns {
		name := c.label
		if c.expr != "" {
			id := refID(len(p.Targets))
			p.Targets = append(p.Targets, ask(id, c.expr, "", true))
			name = "Value #" + id
		}
		index[name], rename[name] = i, c.heading
		if properties := c.properties(); len(properties) > 0 {
			p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{
				Matcher: matcher{ID: "byName", Options: c.heading}, Properties: properties,
			})
		}
	}
	if len(p.Targets) == 1 {
		// Grafana numbers the values of several queries only.
		index["Value"], rename["Value"] = index["Value #A"], rename["Value #A"]
		delete(index, "Value #A")
		delete(rename, "Value #A")
	} else {
		p.Transformations = append(p.Transformations, transformation{ID: "merge", Options: struct{}{}})
	}
	p.Transformations = append(p.Transformations, transformation{ID: "organize", Options: organizeOptions{
		ExcludeByName: map[string]bool{"Time": true, "__name__": true}, IndexByName: index, RenameByName: rename,
	}})
	return p
}

type organizeOptions struct {
	ExcludeByName map[string]bool   `json:"excludeByName"`
	IndexByName   map[string]int    `json:"indexByName"`
	RenameByName  map[string]string `json:"renameByName"`
}

// properties are what sets the column apart from the table's defaults.
func (c column) properties() []property {
	var all []property
	add := func(id string, value any) { all = append(all, property{ID: id, Value: value}) }
	if c.unit != "" {
		add("unit", c.unit)
	}
	if c.decimals != nil {
		add("decimals", *c.decimals)
	}
	if c.width != 0 {
		add("custom.width", c.width)
	}
	if c.words != nil {
		add("mappings", c.words)
	}
	if c.colors != nil {
		add("thresholds", *c.colors)
	}
	switch c.paint {
	case background:
		add("custom.cellOptions", cellStyle{Type: string(background), Mode: "basic"})
		add("custom.align", "center")
	case letters:
		add("custom.cellOptions", cellStyle{Type: string(letters)})
		if c.words != nil {
			add("custom.align", "center")
		}
	case unpainted:
	}
	if c.link.URL != "" {
		add("links", []link{c.link})
	}
	return all
}

// worstFirst sorts by columns, each from its largest value down.
func (p panel) worstFirst(headings ...string) panel { return p.sorted(true, headings...) }

// leastFirst sorts by columns, each from its smallest value up.
func (p panel) leastFirst(headings ...string) panel { return p.sorted(false, headings...) }

func (p panel) sorted(desc bool, headings ...string) panel {
	options := p.Options.(tableOptions)
	for _, heading := range headings {
		options.SortBy = append(options.SortBy, sortBy{DisplayName: heading, Desc: desc})
	}
	p.Options = options
	return p
}

// hostColumn shows an instance as its host, and leads to a dashboard about it where
// there is a better one than this.
func hostColumn(uid string) column {
	c := column{
		heading: "Host", label: "instance", width: 150,
		words: []mapping{{Type: "regex", Options: regexOptions{Pattern: withoutPort, Result: mappedText{Text: "$1"}}}},
	}
	if uid != "" {
		c.link = toHost(uid, "${__value.text}")
	}
	return c
}

// toHost leads to a dashboard with one host chosen.
func toHost(uid, host string) link {
	return link{Title: "Open with this host", URL: "/d/" + uid + "?var-host=" + host + "&${__url_time_range}&${datasource:queryparam}"}
}

// without leaves out labels that the queries give and no column shows.
func (p panel) without(labels ...string) panel {
	organize := p.Transformations[len(p.Transformations)-1].Options.(organizeOptions)
	for _, label := range labels {
		organize.ExcludeByName[label] = true
	}
	return p
}
