package dashboards

// Grafana divides a dashboard's width into 24 columns.
const gridWidth = 24

// A row holds panels side by side, of one height. Its title, if it has one, stands
// above it as a row of Grafana's own, which can be folded.
type row struct {
	title  string
	height int
	cells  []cell
}

// A cell is a panel and its width in grid columns.
type cell struct {
	width int
	panel panel
}

// evenly gives panels the same width.
func evenly(panels ...panel) []cell {
	var cells []cell
	for _, p := range panels {
		cells = append(cells, cell{width: gridWidth / len(panels), panel: p})
	}
	return cells
}

// arranged puts the panels of the rows into the grid and numbers them.
func arranged(rows []row) []panel {
	var panels []panel
	add := func(p panel, at gridPos) {
		p.ID, p.GridPos = len(panels)+1, at
		panels = append(panels, p)
	}
	y := 0
	for _, r := range rows {
		if r.title != "" {
			add(panel{Type: "row", Title: r.title, Collapsed: new(bool)}, gridPos{Y: y, W: gridWidth, H: 1})
			y++
		}
		x := 0
		for _, c := range r.cells {
			add(c.panel, gridPos{X: x, Y: y, W: c.width, H: r.height})
			x += c.width
		}
		y += r.height
	}
	return panels
}
