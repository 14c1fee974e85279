// SPDX-License-Identifier: Apache-2.0

package scenarios

import (
	"bytes"
	"encoding/json"

	"github.com/assaylab/assay/scenarios/internal/cpulist"
)

// object is a part of a JSON Schema.
type object = map[string]any

const durationPattern = `^(0|[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)([0-9.]+(ns|us|µs|μs|ms|s|m|h))*)$`

// Schema writes the JSON Schema (draft 2020-12) of scenarios of some kinds. All that [Parse] takes is valid; Parse wants more than a
// schema can say.
func Schema(kinds []Kind) ([]byte, error) {
	names := make([]string, len(kinds))
	var perKind []object
	for i := range kinds {
		names[i] = kinds[i].Name
		perKind = append(perKind, object{
			"if":   object{"properties": object{kindField: object{"const": names[i]}}, "required": []string{kindField}},
			"then": object{"properties": object{kindField: object{"description": kinds[i].About}, paramsField: kinds[i].schema()}},
		})
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(object{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       "Assay scenario",
		"description": "A kind of work with its parameters, and how it is to be measured.",
		"type":        "object", "additionalProperties": false, "required": []string{"name", kindField},
		"properties": fieldSchemas(names), "allOf": perKind,
	})
	return out.Bytes(), err
}

// fieldSchemas are the fields that all scenarios have.
func fieldSchemas(kinds []string) object {
	word := []string{"string", "number", "boolean"} // what looks like a number to YAML is a text too
	return object{
		"name":      object{"type": word, "pattern": namePattern, "maxLength": maxName, "description": "what it is called"},
		"about":     object{"type": word, "description": "what it stands for"},
		kindField:   object{"enum": kinds, "description": "what it does: assay scenarios new KIND explains it"},
		paramsField: object{"type": []string{"object", "null"}, "description": "of the kind"},
		"warmup":    durationSchema("work before each measurement", defaultWarmup.String()),
		"duration":  durationSchema("of each measurement", defaultDuration.String()),
		"primary":   object{"anyOf": metricSchema(), "default": defaultPrimary, "description": "metric that decides"},
		isolationField: object{
			"type": "object", "additionalProperties": false, "description": "what the workload gets for itself",
			"properties": object{cpusField: object{
				"type": []string{"string", "integer"}, "pattern": `^([0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)?$`, "minimum": 0, "maximum": cpulist.Max,
				"description": "CPUs where it may run, such as 0-3,7; none: any",
			}, cpuLimitField: object{
				"type": "string", "pattern": cpuLimitPattern, "description": "share of one CPU that it may use at most, such as 150%; none: no limit",
			}, memLimitField: object{
				"type": []string{"string", "integer"}, "pattern": `^[0-9]+[KMG]?$`, "minimum": minMemory,
				"description": "memory that it may use at most, such as 512M; none: no limit",
			}},
		},
		slosField: object{"type": "array", "maxItems": maxSLOs, "items": objectiveSchema(), "description": "what metrics have to keep"},
	}
}

func durationSchema(about, standard string) object {
	p := Param{Type: Duration, Default: standard, About: about}
	return p.schema()
}

func metricSchema() []object {
	return []object{{"enum": metricNames()}, {"type": "string", "pattern": metricPattern, "maxLength": maxMetric}}
}

func objectiveSchema() object {
	value := object{"type": []string{"string", "number"}, "description": "a duration, a size or a number, as the metric is"}
	return object{
		"type": "object", "additionalProperties": false, "required": []string{metricField},
		"properties": object{metricField: object{"anyOf": metricSchema()}, string(Max): value, string(Min): value},
		"oneOf":      []object{{"required": []Limit{Max}}, {"required": []Limit{Min}}},
	}
}

func (k *Kind) schema() object {
	params := object{}
	for i := range k.Params {
		params[k.Params[i].Name] = k.Params[i].schema()
	}
	return object{"additionalProperties": false, "properties": params}
}

// schema describes a parameter. A number may also be written as a text, to which the pattern is for; minimum and maximum are for numbers.
func (p *Param) schema() object {
	o := object{"description": p.About, "default": p.Default}
	switch p.Type {
	case Int:
		o["type"], o["pattern"] = []string{"integer", "string"}, `^[-+]?[0-9]+$`
	case Float:
		o["type"] = []string{"number", "string"}
	case Size:
		o["type"], o["pattern"], o["minimum"] = []string{"integer", "string"}, `^\+?[0-9]+[KMG]?$`, 0
	case Duration: // the only number that is one is 0
		o["type"], o["pattern"], o["minimum"], o["maximum"] = []string{"string", "integer"}, durationPattern, 0, 0
	case Choice:
		o["enum"] = p.Choices
	case Flag:
		o["type"], o["pattern"] = []string{"boolean", "string", "integer"}, `^([01tTfF]|true|TRUE|True|false|FALSE|False)$`
	default:
		o["type"] = []string{"string", "number", "boolean"}
	}
	if (p.Min != 0 || p.Max != 0) && p.Type != Duration {
		o["minimum"], o["maximum"] = p.Min, p.Max
	}
	return o
}
