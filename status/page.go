package status

import (
	_ "embed"
	"fmt"
	"html/template"
	"strings"
	"time"
)

//go:embed page.html
var pageHTML string

// PageCSS is the style of what Page returns, light or dark as the reader's system
// is.
//
//go:embed page.css
var PageCSS string

// maxPageRows is how many things of one layer have a row on the page: a browser
// has no use for a fleet's 10,000 agents. What needs a person comes first.
const maxPageRows = 200

// pageSum is a layer on the page.
type pageSum struct {
	Sum
	// Over is how many rows have no room.
	Over int
}

// Page draws the report of one host as a piece of HTML. Nothing in it needs a script
// or another file, and whatever an exposition holds is text.
func (r Report) Page() (string, error) {
	page, err := template.New("page").Funcs(template.FuncMap{
		"percent": func(ratio float64) string { return fmt.Sprintf("%.0f", 100*max(0, min(1, ratio))) },
	}).Parse(pageHTML)
	if err != nil {
		return "", fmt.Errorf("parse the page: %w", err)
	}
	var sums []pageSum
	for _, sum := range r.Sums() {
		over := max(0, len(sum.Rows)-maxPageRows)
		sum.Rows = sum.Rows[:len(sum.Rows)-over]
		sums = append(sums, pageSum{sum, over})
	}
	var text strings.Builder
	err = page.Execute(&text, map[string]any{
		"State":    r.State,
		"Verdict":  r.verdict(),
		"Troubles": r.troubles(maxPageRows),
		"Layers":   sums,
		"Time":     time.UnixMilli(int64(r.Time * 1000)).UTC().Format("2006-01-02 15:04:05 MST"),
	})
	if err != nil {
		return "", fmt.Errorf("draw the page: %w", err)
	}
	return text.String(), nil
}

// troubles are the first rows that need a person, at most n.
func (r Report) troubles(n int) []Row {
	for i, row := range r.Rows {
		if row.State == OK || i == n {
			return r.Rows[:i]
		}
	}
	return r.Rows
}
