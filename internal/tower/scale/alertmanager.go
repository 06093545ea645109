package scale

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// Alertmanager returns a copy of an Alertmanager configuration in which every wait
// of a route is divided by factor, down to a millisecond, and every receiver is
// one webhook, url/NAME, that hears of resolved alerts too. Routes, groups and
// inhibitions stay as they are.
func Alertmanager(in []byte, factor float64, url string) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(in, &document); err != nil {
		return nil, fmt.Errorf("parse the configuration: %w", err)
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("the configuration isn't a mapping")
	}
	top := document.Content[0]
	for i := 0; i+1 < len(top.Content); i += 2 {
		switch value := top.Content[i+1]; top.Content[i].Value {
		case "global":
			// Mail settings and secrets, which nobody needs any more.
			*value = yaml.Node{Kind: yaml.MappingNode}
		case "templates":
			*value = yaml.Node{Kind: yaml.SequenceNode}
		case "route":
			if err := divideWaits(value, factor); err != nil {
				return nil, err
			}
		case "receivers":
			for _, receiver := range value.Content {
				redirect(receiver, url)
			}
		}
	}
	return yaml.Marshal(&document)
}

// divideWaits follows a route and the routes below it.
func divideWaits(route *yaml.Node, factor float64) error {
	for i := 0; i+1 < len(route.Content); i += 2 {
		switch value := route.Content[i+1]; route.Content[i].Value {
		case "group_wait", "group_interval", "repeat_interval":
			wait, err := model.ParseDuration(value.Value)
			if err != nil {
				return fmt.Errorf("line %d: %w", value.Line, err)
			}
			faster := max(time.Duration(float64(wait)/factor).Round(time.Millisecond), time.Millisecond)
			value.Value = model.Duration(faster).String()
		case "routes":
			for _, below := range value.Content {
				if err := divideWaits(below, factor); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// redirect leaves nothing of a receiver but its name.
func redirect(receiver *yaml.Node, url string) {
	for i := 0; i+1 < len(receiver.Content); i += 2 {
		if receiver.Content[i].Value != "name" {
			continue
		}
		name := *receiver.Content[i+1]
		*receiver = yaml.Node{Kind: yaml.MappingNode}
		_ = receiver.Encode(map[string]any{
			"name": name.Value,
			"webhook_configs": []map[string]any{{
				"url":           strings.TrimSuffix(url, "/") + "/" + name.Value,
				"send_resolved": true,
			}},
		})
		return
	}
}
