package boot

import (
	"slices"
	"strconv"
)

// test evaluates a condition (GRUB Manual, "test"). One that isn't understood
// doesn't hold.
func (g *grub) test(words []string) bool {
	if n := len(words); n > 0 && words[n-1] == "]" {
		words = words[:n-1]
	}
	if i := slices.Index(words, "-o"); i > 0 {
		return g.test(words[:i]) || g.test(words[i+1:])
	}
	if i := slices.Index(words, "-a"); i > 0 {
		return g.test(words[:i]) && g.test(words[i+1:])
	}
	switch {
	case len(words) > 1 && words[0] == "!":
		return !g.test(words[1:])
	case len(words) == 1:
		return words[0] != ""
	case len(words) == 2:
		return g.unary(words[0], words[1])
	case len(words) == 3:
		return compareOperands(words[0], words[1], words[2])
	}
	return false
}

func (g *grub) unary(operator, operand string) bool {
	switch operator {
	case "-n":
		return operand != ""
	case "-z":
		return operand == ""
	case "-e", "-f", "-s":
		return g.volumes.exists(g.place(operand))
	}
	return false
}

func compareOperands(left, operator, right string) bool {
	switch operator {
	case "=", "==":
		return left == right
	case "!=":
		return left != right
	}
	a, errA := strconv.Atoi(left)
	b, errB := strconv.Atoi(right)
	if errA != nil || errB != nil {
		return false
	}
	switch operator {
	case "-eq":
		return a == b
	case "-ne":
		return a != b
	case "-lt":
		return a < b
	case "-le":
		return a <= b
	case "-gt":
		return a > b
	case "-ge":
		return a >= b
	}
	return false
}
