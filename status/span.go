package status

import (
	"fmt"
	"math"
)

// span writes a length of time in its two largest units, as one says it.
func span(seconds float64) string {
	seconds = math.Abs(math.Trunc(seconds))
	count := func(unit float64) float64 { return math.Floor(seconds / unit) }
	rest := func(unit, smaller float64) float64 { return math.Floor(math.Mod(seconds, unit) / smaller) }
	switch {
	case seconds < 60:
		return fmt.Sprintf("%.0fs", seconds)
	case seconds < 3600:
		return fmt.Sprintf("%.0fm %.0fs", count(60), rest(60, 1))
	case seconds < day:
		return fmt.Sprintf("%.0fh %.0fm", count(3600), rest(3600, 60))
	case seconds < 100*day:
		return fmt.Sprintf("%.0fd %.0fh", count(day), rest(day, 3600))
	case seconds < 3*365*day:
		return fmt.Sprintf("%.0fd", count(day))
	case seconds < 10000*365*day:
		return fmt.Sprintf("%.0fy", count(365*day))
	}
	return "for ever"
}

// left says how long something has yet, or since when it hasn't.
func left(remaining float64) string {
	if remaining < 0 {
		return "ended " + span(remaining) + " ago"
	}
	return span(remaining) + " left"
}

// counted writes a number with its noun.
func counted(n float64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%.0f %s", n, many)
}
