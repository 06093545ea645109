package main

import (
	"context"

	"funlab.casa/attestation_exporter/collector"
	"funlab.casa/attestation_exporter/reader"
)

// A topic is a reading for which the exporter may lack the rights, so that its
// privileged reader does the reading where there is one.
type topic[R any] struct {
	// name is the question that the reader is asked.
	name string
	// absent is the error of a host that hasn't got what the reading is about.
	absent error
	// direct reads with this process's own rights.
	direct func(context.Context) (R, error)
}

// question is the topic for the reader, to answer with its own rights.
func (t topic[R]) question() *reader.Question {
	return reader.NewQuestion(t.name, t.absent, t.direct)
}

// by is the topic for the exporter. It asks the reader wherever its socket is there
// at the moment of the reading.
func (t topic[R]) by(client reader.Client) func(context.Context) (R, error) {
	ask := reader.Ask[R](client, t.name, t.absent)
	return func(ctx context.Context) (R, error) {
		if client.Present() {
			return ask(ctx)
		}
		return t.direct(ctx)
	}
}

// parts are what becomes of a collector's options in the two halves of the program.
type parts struct {
	questions []*reader.Question
	collector func(reader.Client) (collector.Collector, error)
	found     func(reader.Client) look
}

// partsOf are those of a collector that shows a topic, which reads the places that
// find finds, and nothing else.
func partsOf[R any](t topic[R], find look, show func(func(context.Context) (R, error)) collector.Collector) parts {
	places := t.places(find)
	return parts{
		questions: []*reader.Question{t.question(), places.question()},
		collector: func(client reader.Client) (collector.Collector, error) { return show(t.by(client)), nil },
		found:     places.look,
	}
}

// unprivileged are the parts of a collector that needs no right.
func unprivileged(made collector.Collector, find look) parts {
	return parts{
		collector: func(reader.Client) (collector.Collector, error) { return made, nil },
		found:     func(reader.Client) look { return find },
	}
}
