package dashboards

// A line is what one query draws.
type line struct {
	expr, legend string
	// limit is the colour of a line that others are held against, drawn dashed;
	// empty for those others.
	limit string
}

type timeSeriesOptions struct {
	Legend  legendOptions  `json:"legend"`
	Tooltip tooltipOptions `json:"tooltip"`
}

type legendOptions struct {
	ShowLegend  bool     `json:"showLegend"`
	DisplayMode string   `json:"displayMode"`
	Placement   string   `json:"placement"`
	Calcs       []string `json:"calcs"`
}

type tooltipOptions struct {
	Mode string `json:"mode"`
	Sort string `json:"sort"`
}

type lineStyle struct {
	DrawStyle         string     `json:"drawStyle"`
	LineInterpolation string     `json:"lineInterpolation"`
	LineWidth         int        `json:"lineWidth"`
	FillOpacity       int        `json:"fillOpacity"`
	ShowPoints        string     `json:"showPoints"`
	SpanNulls         bool       `json:"spanNulls"`
	Stacking          stacking   `json:"stacking"`
	ScaleDistribution scaleShape `json:"scaleDistribution"`
	AxisSoftMin       *float64   `json:"axisSoftMin,omitempty"`
}

type stacking struct {
	Mode  string `json:"mode"`
	Group string `json:"group"`
}

type scaleShape struct {
	Type string `json:"type"`
	Log  int    `json:"log,omitempty"`
}

type dash struct {
	Fill string `json:"fill"`
	Dash []int  `json:"dash"`
}

// overTime draws lines over the dashboard's time range.
func overTime(title, description string, lines ...line) panel {
	p := newPanel("timeseries", title, description)
	zero := 0.0
	p.FieldConfig.Defaults.Color = color{Mode: "palette-classic"}
	p.FieldConfig.Defaults.Custom = lineStyle{
		DrawStyle: "line", LineInterpolation: "linear", LineWidth: 1, FillOpacity: 0, ShowPoints: "never",
		Stacking: stacking{Mode: "none", Group: "A"}, ScaleDistribution: scaleShape{Type: "linear"}, AxisSoftMin: &zero,
	}
	p.Options = timeSeriesOptions{
		Legend:  legendOptions{ShowLegend: true, DisplayMode: "list", Placement: "bottom", Calcs: []string{}},
		Tooltip: tooltipOptions{Mode: "multi", Sort: "desc"},
	}
	p.Transformations = []transformation{
		// An agent whose host is known is called by it, and hosts have no port.
		renamed(`^(\S+:\d+) [0-9a-f]{8}-[0-9a-f-]{27}$`, "$1"),
		renamed(`^\[?(\S+?)\]?:\d+\b(.*)$`, "$1$2"),
	}
	for i, l := range lines {
		p.Targets = append(p.Targets, ask(refID(i), l.expr, l.legend, false))
		if l.limit != "" {
			p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{
				Matcher: matcher{ID: "byFrameRefID", Options: refID(i)},
				Properties: []property{
					{ID: "color", Value: color{Mode: "fixed", FixedColor: l.limit}},
					{ID: "custom.lineStyle", Value: dash{Fill: "dash", Dash: []int{8, 6}}},
				},
			})
		}
	}
	return p
}

// renamed gives the series of a panel other names.
func renamed(regex, pattern string) transformation {
	return transformation{ID: "renameByRegex", Options: map[string]string{"regex": regex, "renamePattern": pattern}}
}

// beside puts the legend to the right, with the last values, where there are many
// lines.
func (p panel) beside() panel {
	options := p.Options.(timeSeriesOptions)
	options.Legend.DisplayMode, options.Legend.Placement, options.Legend.Calcs = "table", "right", []string{"lastNotNull"}
	p.Options = options
	return p
}

// stacked piles the lines up, for parts of a whole.
func (p panel) stacked() panel {
	style := p.FieldConfig.Defaults.Custom.(lineStyle)
	style.Stacking.Mode, style.FillOpacity = "normal", 40
	p.FieldConfig.Defaults.Custom = style
	return p
}

// logarithmic shows minutes and months on one axis.
func (p panel) logarithmic() panel {
	style := p.FieldConfig.Defaults.Custom.(lineStyle)
	style.ScaleDistribution, style.AxisSoftMin = scaleShape{Type: "log", Log: 10}, nil
	p.FieldConfig.Defaults.Custom = style
	return p
}

// paints gives a name in the legend its colour.
func (p panel) paints(name, c string) panel {
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{
		Matcher:    matcher{ID: "byName", Options: name},
		Properties: []property{{ID: "color", Value: color{Mode: "fixed", FixedColor: c}}},
	})
	return p
}

type timelineOptions struct {
	ShowValue   string         `json:"showValue"`
	RowHeight   float64        `json:"rowHeight"`
	MergeValues bool           `json:"mergeValues"`
	AlignValue  string         `json:"alignValue"`
	Legend      legendOptions  `json:"legend"`
	Tooltip     tooltipOptions `json:"tooltip"`
}

type timelineStyle struct {
	FillOpacity int `json:"fillOpacity"`
	LineWidth   int `json:"lineWidth"`
}

// timeline shows which state each thing was in, and when.
func timeline(title, description, expr, legend string, words ...mapping) panel {
	p := overTime(title, description, line{expr: expr, legend: legend})
	p.Type = "state-timeline"
	p.FieldConfig.Defaults.Color = color{Mode: "thresholds"}
	p.FieldConfig.Defaults.Custom = timelineStyle{FillOpacity: 70}
	p.Options = timelineOptions{
		ShowValue: "auto", RowHeight: 0.8, MergeValues: true, AlignValue: "left",
		Legend:  legendOptions{ShowLegend: false, DisplayMode: "list", Placement: "bottom", Calcs: []string{}},
		Tooltip: tooltipOptions{Mode: "single", Sort: "none"},
	}
	return p.unit("none").says(words...)
}
