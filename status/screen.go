package status

import (
	"fmt"
	"net"
	"strings"
)

// minWidth is the narrowest screen that is drawn; a narrower one breaks the lines
// itself.
const minWidth = 80

// ScreenOptions say how a report is drawn.
type ScreenOptions struct {
	// Width is the terminal's; less than 80 is drawn as 80.
	Width int
	Color bool
	// Plugin makes the first line a monitoring plugin's: unbroken, with performance
	// data.
	Plugin bool
	// All shows each thing that was looked at, and not only the sums of layers.
	All bool
}

// A screen is being drawn.
type screen struct {
	text   strings.Builder
	report Report
	ScreenOptions
}

// Screen draws the report: a line that says it all, the hosts, what needs a person,
// then the layers.
func (r Report) Screen(options ScreenOptions) string {
	options.Width = max(options.Width, minWidth)
	s := screen{report: r, ScreenOptions: options}
	s.summary()
	s.hosts()
	s.troubles()
	if s.All {
		s.layers()
	} else {
		s.sums()
	}
	return s.text.String()
}

func (s *screen) summary() {
	if s.Plugin {
		s.linef("%s | %s", s.report.Summary(), s.report.PerformanceData())
		return
	}
	for _, line := range wrap(s.report.Summary(), s.Width) {
		s.linef("%s", line)
	}
}

// linef writes one line without the blanks at its end.
func (s *screen) linef(format string, args ...any) {
	s.text.WriteString(strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n")
}

func (s *screen) heading(text string) { s.linef("\n%s", s.paint("1", text)) }

// hanging writes text behind a first part that is as wide as indent, and what has
// no room below it.
func (s *screen) hanging(first string, indent int, text string) {
	for i, line := range wrap(text, s.Width-indent) {
		if i > 0 {
			first = strings.Repeat(" ", indent)
		}
		s.linef("%s%s", first, line)
	}
}

// layerTitle heads a column of the matrix of hosts: short, so that nine have room
// beside a name.
func layerTitle(layer Layer) string {
	switch layer {
	case Monitoring:
		return "self"
	case TrustBundle:
		return "bundle"
	case Certificate:
		return "cert"
	default:
		return string(layer)
	}
}

func (s *screen) hosts() {
	s.linef("")
	names := []string{"HOST"}
	taken := 0
	for _, layer := range Layers() {
		taken += 2 + max(4, len(layerTitle(layer)))
	}
	for _, host := range s.report.Hosts {
		names = append(names, host.Host)
	}
	wide := longest(s.Width-taken, names)
	heading := []string{pad("HOST", wide)}
	for _, layer := range Layers() {
		heading = append(heading, pad(layerTitle(layer), 4))
	}
	s.linef("%s", s.paint("1", strings.TrimRight(strings.Join(heading, "  "), " ")))
	for _, host := range s.report.Hosts {
		row := []string{pad(shorten(host.Host, wide), wide)}
		for _, layer := range Layers() {
			row = append(row, s.cell(host, layer))
		}
		s.linef("%s", strings.Join(row, "  "))
	}
}

// cell is one layer of one host: a word, since not everybody sees colours.
func (s *screen) cell(host Host, layer Layer) string {
	state, ok := host.Layers[layer]
	word := map[State]string{OK: "ok", Warning: "WARN", Critical: "CRIT", Unknown: "?"}[state]
	if !ok {
		word = "-"
	}
	cell := pad(word, max(4, len(layerTitle(layer))))
	if !ok || state == OK {
		return cell
	}
	return s.paintState(state, cell)
}

// maxAlike is how many troubles of one kind on one host are shown.
const maxAlike = 5

// troubles are what needs a person.
func (s *screen) troubles() {
	alike := map[[2]string]int{}
	var order [][2]string
	for _, row := range s.report.Rows {
		if row.State == OK {
			continue
		}
		if len(order) == 0 {
			s.heading("NEEDS A PERSON")
		}
		key := [2]string{row.Host, row.Alert}
		if alike[key]++; alike[key] == 1 {
			order = append(order, key)
		}
		if s.All || alike[key] <= maxAlike {
			s.trouble(row)
		}
	}
	for _, key := range order {
		if over := alike[key] - maxAlike; over > 0 && !s.All {
			s.linef("%s", pad("", 10)+fmt.Sprintf("and %d more of %s on %s: see --all", over, key[1], key[0]))
		}
	}
}

func (s *screen) trouble(row Row) {
	name := row.Alert
	if name == "" {
		name = string(row.Layer)
	}
	s.linef("%s  %s: %s", s.paintState(row.State, pad(row.State.String(), 8)), row.Host, s.paint("1", name))
	s.hanging(pad("", 10), 10, row.What+": "+row.Text)
}

// sums has a line for each layer.
func (s *screen) sums() {
	s.heading("LAYERS")
	for _, sum := range s.report.Sums() {
		s.hanging(pad(string(sum.Layer), 14), 14, sum.Text)
	}
}

// layers has a line for each thing.
func (s *screen) layers() {
	for _, sum := range s.report.Sums() {
		s.heading(strings.ToUpper(string(sum.Layer)))
		s.table(sum.Rows)
	}
}

func (s *screen) table(rows []Row) {
	var hosts, things []string
	for _, row := range rows {
		hosts, things = append(hosts, s.shortHost(row.Host)), append(things, row.What)
	}
	host := 0
	if len(s.report.Hosts) > 1 {
		host = longest(20, hosts)
	}
	thing := longest((s.Width-10-host)/2, things)
	for _, row := range rows {
		first := s.paintState(row.State, pad(row.State.String(), 8)) + "  "
		indent := 10
		if host > 0 {
			first += pad(shorten(s.shortHost(row.Host), host), host) + "  "
			indent += host + 2
		}
		first += pad(shorten(row.What, thing), thing) + "  "
		s.hanging(first, indent+thing+2, row.Text)
	}
}

// shortHost is a host's name without the domain that all hosts are in.
func (s *screen) shortHost(host string) string {
	name, domain, _ := strings.Cut(host, ".")
	for _, other := range s.report.Hosts {
		if _, its, _ := strings.Cut(other.Host, "."); its != domain || domain == "" || net.ParseIP(other.Host) != nil {
			return host
		}
	}
	return name
}

// paintState colours text as its state; the words beside say the same.
func (s *screen) paintState(state State, text string) string {
	return s.paint(map[State]string{OK: "32", Warning: "33", Critical: "1;31", Unknown: "35"}[state], text)
}

// paint wraps text in a terminal's colour (ECMA-48, section 8.3.117).
func (s *screen) paint(color, text string) string {
	if !s.Color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}
