package main

import (
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// A breaker walks an expression and breaks it at one of its places; -1 is none.
type breaker struct {
	place, seen int
	kind, what  string
}

// here is whether this is the place to break.
func (b *breaker) here(kind string, node parser.Node) bool {
	b.seen++
	if b.seen-1 != b.place {
		return false
	}
	b.kind, b.what = kind, short(node)
	return true
}

// visit is the expression, broken if the place is in it.
func (b *breaker) visit(expr parser.Expr) parser.Expr {
	switch e := expr.(type) {
	case *parser.BinaryExpr:
		return b.visitBinary(e)
	case *parser.ParenExpr:
		e.Expr = b.visit(e.Expr)
	case *parser.AggregateExpr:
		if e.Param != nil {
			e.Param = b.visit(e.Param)
		}
		e.Expr = b.visit(e.Expr)
	case *parser.Call:
		for i := range e.Args {
			e.Args[i] = b.visit(e.Args[i])
		}
	case *parser.UnaryExpr:
		e.Expr = b.visit(e.Expr)
	case *parser.SubqueryExpr:
		e.Expr = b.visit(e.Expr)
	case *parser.MatrixSelector:
		e.VectorSelector = b.visit(e.VectorSelector)
	case *parser.VectorSelector:
		b.breakMatchers(e)
	case *parser.NumberLiteral:
		if b.here("number a step off", e) {
			e.Val += step(e.Val)
		}
	}
	return expr
}

func (b *breaker) visitBinary(e *parser.BinaryExpr) parser.Expr {
	e.LHS = b.visit(e.LHS)
	if !claim(e) {
		e.RHS = b.visit(e.RHS)
	}
	if wrong, ok := wrongOperator(e); ok && b.here("operator flipped", e) {
		e.Op = wrong
		return e
	}
	if e.VectorMatching == nil {
		return e
	}
	if b.here(dropped(e.Op), e) {
		return e.LHS
	}
	if e.Op == parser.LOR && b.here("left side of or dropped", e) {
		return e.RHS
	}
	return e
}

// claim is whether 0 or 1 stand for false and true, or for nothing, and are no
// threshold. The operator is broken there.
func claim(e *parser.BinaryExpr) bool {
	number, ok := e.RHS.(*parser.NumberLiteral)
	return ok && (number.Val == 0 || number.Val == 1) &&
		(e.Op == parser.EQLC || e.Op == parser.NEQ || e.Op == parser.MUL)
}

// dropped names what is gone when only the left side is left.
func dropped(op parser.ItemType) string {
	if op.IsSetOperator() {
		return op.String() + " dropped"
	}
	return "join dropped"
}

func (b *breaker) breakMatchers(e *parser.VectorSelector) {
	for i, matcher := range e.LabelMatchers {
		if matcher.Name != model.MetricNameLabel && b.here("matcher dropped", e) {
			e.LabelMatchers = slices.Delete(e.LabelMatchers, i, i+1)
			return
		}
	}
}

// wrongOperator is the operator that is wrong at the boundary, or the contrary.
// A factor that joins is 1, mostly, so that a division would be the same.
func wrongOperator(e *parser.BinaryExpr) (parser.ItemType, bool) {
	if e.VectorMatching != nil && (e.Op == parser.MUL || e.Op == parser.DIV) {
		return 0, false
	}
	wrong, ok := map[parser.ItemType]parser.ItemType{
		parser.GTR: parser.GTE, parser.GTE: parser.GTR, parser.LSS: parser.LTE, parser.LTE: parser.LSS,
		parser.EQLC: parser.NEQ, parser.NEQ: parser.EQLC, parser.SUB: parser.ADD, parser.ADD: parser.SUB,
		parser.MUL: parser.DIV, parser.DIV: parser.MUL, parser.LAND: parser.LUNLESS, parser.LUNLESS: parser.LAND,
	}[e.Op]
	return wrong, ok
}

// step is the least that a case can tell apart: one of what is counted, and of
// what are seconds, the minute between two evaluations.
func step(number float64) float64 {
	if number < 60 {
		return 1
	}
	return 60
}

// short is the end of an expression, which tells its places apart.
func short(node parser.Node) string {
	text := []rune(strings.Join(strings.Fields(node.String()), " "))
	if len(text) > 100 {
		return "…" + string(text[len(text)-100:])
	}
	return string(text)
}
