package dashboards

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the dashboards' JSON instead of comparing with it")

// TestJSON holds the files that users import to what the code makes.
func TestJSON(t *testing.T) {
	for _, d := range All() {
		want, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(d.File(), want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(d.File())
		if err != nil {
			t.Fatalf("%v: `make dashboards` writes it", err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s isn't what the code makes: run `make dashboards` and look at the difference", d.File())
		}
	}
	var want []string
	for _, d := range All() {
		want = append(want, d.File())
	}
	slices.Sort(want)
	if got, err := filepath.Glob("*.json"); err != nil || !slices.Equal(got, want) {
		t.Errorf("files: got %v (%v), want %v", got, err, want)
	}
}

// TestPanelsSayWhatIsNeeded asks of each panel a unit, a description that tells what
// to do, a colour scale and a way on: to a runbook, or to the dashboard that has more.
func TestPanelsSayWhatIsNeeded(t *testing.T) {
	units := []string{"none", "short", "s", "percentunit", "decbytes", "dateTimeFromNow", "suffix: /s", "suffix: /min"}
	uids := map[string]bool{}
	for _, d := range All() {
		if uids[d.uid] {
			t.Errorf("%s: the uid %s is there twice", d.title, d.uid)
		}
		uids[d.uid] = true
		titles := map[string]bool{}
		for _, p := range d.model().Panels {
			name := d.title + ": " + p.Title
			if titles[p.Title] {
				t.Errorf("%s is there twice", name)
			}
			titles[p.Title] = true
			if !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s: its description isn't a sentence: %q", name, p.Description)
			}
			if len(p.Links) == 0 {
				t.Errorf("%s: leads nowhere", name)
			}
			if p.FieldConfig.Defaults.Thresholds == nil {
				t.Errorf("%s: has no thresholds", name)
			}
			if got := p.FieldConfig.Defaults.Unit; !slices.Contains(units, got) {
				t.Errorf("%s: got the unit %q, want one of %q", name, got, units)
			}
			for _, o := range p.FieldConfig.Overrides {
				for _, property := range o.Properties {
					if got, is := property.Value.(string); is && property.ID == "unit" && !slices.Contains(units, got) {
						t.Errorf("%s: got the unit %q, want one of %q", name, got, units)
					}
				}
			}
			if end := p.GridPos.X + p.GridPos.W; end > gridWidth {
				t.Errorf("%s: got a panel that ends at column %d, want at most %d", name, end, gridWidth)
			}
		}
	}
}

// TestLinksLeadSomewhere finds a link to a page or a dashboard that isn't there,
// and one that sets a variable that its dashboard hasn't.
func TestLinksLeadSomewhere(t *testing.T) {
	page := regexp.MustCompile(`"` + regexp.QuoteMeta(docsBase) + `([\w/]+\.md)"`)
	for _, d := range All() {
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		pages := page.FindAllStringSubmatch(string(text), -1)
		if len(pages) == 0 {
			t.Errorf("%s: links to no page", d.title)
		}
		for _, match := range pages {
			if _, err := os.Stat(filepath.Join("..", "docs", match[1])); err != nil {
				t.Errorf("%s: links to a page that isn't there: %v", d.title, err)
			}
		}
		for _, path := range regexp.MustCompile(`"/d/([^"]*)"`).FindAllStringSubmatch(string(text), -1) {
			checkAddress(t, d.title, path[1])
		}
	}
}

// checkAddress holds what follows /d/ in an address to the dashboards.
func checkAddress(t *testing.T, where, address string) {
	t.Helper()
	uid, query, _ := strings.Cut(address, "?")
	i := slices.IndexFunc(All(), func(d Dashboard) bool { return d.uid == uid })
	if i < 0 {
		t.Errorf("%s: links to the dashboard %q, which isn't there", where, uid)
		return
	}
	for _, match := range regexp.MustCompile(`var-(\w+)=`).FindAllStringSubmatch(query, -1) {
		if !slices.ContainsFunc(All()[i].variables, func(v variable) bool { return v.Name == match[1] }) {
			t.Errorf("%s: links to %s with the variable %s, which that hasn't", where, uid, match[1])
		}
	}
}

// TestVariables finds an expression, or a variable's own query, with a variable that
// its dashboard hasn't, and a variable that changes nothing.
func TestVariables(t *testing.T) {
	used := regexp.MustCompile(`\$\{?(\w+)`)
	for _, d := range All() {
		known := []string{"__rate_interval", "__range"}
		for _, v := range d.variables {
			known = append(known, v.Name)
		}
		texts := map[string]string{}
		for _, v := range d.variables {
			texts["variable "+v.Name] = fmt.Sprint(v.Query)
		}
		for _, p := range d.model().Panels {
			for _, target := range p.Targets {
				texts[p.Title+" "+target.RefID] = target.Expr
			}
		}
		needed := map[string]bool{"datasource": true}
		for where, text := range texts {
			for _, match := range used.FindAllStringSubmatch(text, -1) {
				name := match[1]
				needed[name] = true
				// A digit is a group of label_replace's regular expression.
				if !slices.Contains(known, name) && !regexp.MustCompile(`^\d`).MatchString(name) {
					t.Errorf("%s: %s: got the variable %s, want one of %v", d.title, where, name, known)
				}
			}
		}
		for _, v := range d.variables {
			if !needed[v.Name] {
				t.Errorf("%s: the variable %s is used nowhere", d.title, v.Name)
			}
		}
	}
	for _, q := range Queries() {
		if left := regexp.MustCompile(`\$\{?[a-zA-Z_]\w*`).FindString(q.Expr); left != "" {
			t.Errorf("%s: %s %s: %s is left in what is asked", q.Dashboard, q.Panel, q.RefID, left)
		}
	}
}
