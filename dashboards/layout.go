package dashboards

// Grafana divides a dashboard's width into 24 columns.
const gridWidth = 24

// A row holds panels side by side, of one height.
type row struct {
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
	y := 0
	for _, r := range rows {
		x := 0
		for _, c := range r.cells {
			p := c.panel
			p.ID, p.GridPos = len(panels)+1, gridPos{X: x, Y: y, W: c.width, H: r.height}
			panels = append(panels, p)
			x += c.width
		}
		y += r.height
	}
	return panels
}
