// Reads a storm's history, one operation a line, and says whether it is linearizable: each key a register with put, get
// and compare-and-swap. Porcupine decides; what is made of unknown outcomes before it does is exact, see prepare.
//
// Exit codes: 0 linearizable, 1 not, 2 it could not be read, 3 not decided within the time.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// An operation as tests/storm/history.py writes it. Times are nanoseconds of one monotonic clock.
type operation struct {
	Client  int    `json:"client"`
	Key     string `json:"key"`
	Kind    string `json:"kind"`    // put, get or cas
	Value   string `json:"value"`   // what put and cas write, unique in the whole history
	Old     string `json:"old"`     // what cas expects; empty: no such key
	Outcome string `json:"outcome"` // ok, failed (certainly without effect) or unknown
	Swapped bool   `json:"swapped"` // cas, ok: whether it wrote
	Found   string `json:"found"`   // what get, or a cas that did not write, has seen; empty: no such key
	Call    int64  `json:"call"`
	Return  int64  `json:"return"`
}

type verdict struct {
	Verdict    string   `json:"verdict"` // linearizable, violated or undecided
	Operations int      `json:"operations"`
	Checked    int      `json:"checked"` // what is left of them after prepare
	Keys       int      `json:"keys"`
	Unknown    int      `json:"unknown"` // outcomes that nobody knows
	Violated   []string `json:"violated"`
	Undecided  []string `json:"undecided"`
	Seconds    float64  `json:"seconds"`
}

var register = porcupine.Model{
	Init: func() interface{} { return "" },
	Step: func(state, input, output interface{}) (bool, interface{}) {
		now, op := state.(string), input.(operation)
		switch {
		case op.Kind == "put":
			return true, op.Value
		case op.Kind == "cas" && op.Swapped:
			return now == op.Old, op.Value
		case op.Kind == "cas":
			return now == op.Found && now != op.Old, now
		default:
			return now == op.Found, now
		}
	},
	DescribeOperation: func(input, output interface{}) string {
		op := input.(operation)
		switch {
		case op.Kind == "put":
			return fmt.Sprintf("put(%s) %s", op.Value, op.Outcome)
		case op.Kind == "cas":
			return fmt.Sprintf("cas(%s, %s) -> %t %s %s", op.Old, op.Value, op.Swapped, op.Found, op.Outcome)
		default:
			return fmt.Sprintf("get -> %s", op.Found)
		}
	},
}

// prepare leaves out what cannot matter, and bounds what is unknown, so that the search stays small. Values are unique,
// so a value that was seen tells that its write took place, before the first who saw it returned. A write of unknown
// outcome whose value nobody has seen may be left out: wherever it took place, nothing between it and the next write
// has looked; and a history without it has room for it at its end.
func prepare(operations []operation) ([]operation, error) {
	seen := map[string]int64{}
	see := func(value string, at int64) {
		if first, ok := seen[value]; !ok || at < first {
			seen[value] = at
		}
	}
	written := map[string]bool{"": true}
	for _, op := range operations {
		if op.Return < op.Call {
			return nil, fmt.Errorf("an operation of %s returns before it is called", op.Key)
		}
		if op.Kind != "get" {
			if written[op.Value] {
				return nil, fmt.Errorf("the value %q of %s is not unique", op.Value, op.Key)
			}
			written[op.Value] = true
		}
		if op.Outcome != "ok" {
			continue
		}
		if op.Kind == "get" || (op.Kind == "cas" && !op.Swapped) {
			see(op.Found, op.Return)
		} else if op.Kind == "cas" {
			see(op.Old, op.Return)
		}
	}
	// A swap of unknown outcome that took place has seen what it expected.
	for again := true; again; {
		again = false
		for _, op := range operations {
			if op.Kind != "cas" || op.Outcome != "unknown" {
				continue
			}
			by, took := seen[op.Value]
			if first, ok := seen[op.Old]; took && (!ok || by < first) {
				see(op.Old, by)
				again = true
			}
		}
	}
	kept := operations[:0:0]
	for _, op := range operations {
		if op.Outcome == "unknown" && op.Kind != "get" {
			by, took := seen[op.Value]
			if !took {
				continue
			}
			// One that was seen before it was called stays as it is, for the search to refuse.
			op.Swapped, op.Return = true, max(by, op.Call)
		} else if op.Outcome != "ok" && (op.Kind == "get" || op.Outcome == "unknown") {
			continue
		} else if op.Outcome == "failed" {
			continue
		}
		kept = append(kept, op)
	}
	return kept, nil
}

func check(path string, limit time.Duration) (verdict, error) {
	file, err := os.Open(path)
	if err != nil {
		return verdict{}, err
	}
	defer file.Close()
	began, keys, result := time.Now(), map[string][]operation{}, verdict{Verdict: "linearizable"}
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 1<<16), 1<<20)
	for lines.Scan() {
		op := operation{}
		if err := json.Unmarshal(lines.Bytes(), &op); err != nil {
			return verdict{}, fmt.Errorf("line %d: %w", result.Operations+1, err)
		}
		known := (op.Kind == "put" || op.Kind == "get" || op.Kind == "cas") &&
			(op.Outcome == "ok" || op.Outcome == "failed" || op.Outcome == "unknown")
		if !known || op.Key == "" || (op.Kind != "get" && op.Value == "") {
			return verdict{}, fmt.Errorf("line %d is no operation", result.Operations+1)
		}
		result.Operations++
		if op.Outcome == "unknown" {
			result.Unknown++
		}
		keys[op.Key] = append(keys[op.Key], op)
	}
	if err := lines.Err(); err != nil {
		return verdict{}, err
	}
	if result.Operations == 0 {
		return verdict{}, fmt.Errorf("%s holds no operation", path)
	}
	names := make([]string, 0, len(keys))
	for name := range keys {
		names = append(names, name)
	}
	sort.Strings(names)
	result.Keys = len(names)
	for _, name := range names {
		prepared, err := prepare(keys[name])
		if err != nil {
			return verdict{}, err
		}
		result.Checked += len(prepared)
		history := make([]porcupine.Operation, 0, len(prepared))
		for _, op := range prepared {
			history = append(history, porcupine.Operation{ClientId: op.Client, Input: op, Call: op.Call, Return: op.Return})
		}
		left := limit - time.Since(began)
		if left <= 0 {
			left = time.Nanosecond
		}
		switch porcupine.CheckOperationsTimeout(register, history, left) {
		case porcupine.Illegal:
			result.Violated = append(result.Violated, name)
			draw(path, name, history)
		case porcupine.Unknown:
			result.Undecided = append(result.Undecided, name)
		}
	}
	if len(result.Undecided) > 0 {
		result.Verdict = "undecided"
	}
	if len(result.Violated) > 0 {
		result.Verdict = "violated"
	}
	result.Seconds = math.Round(time.Since(began).Seconds()*100) / 100
	return result, nil
}

// draw leaves a page beside the history that shows where the first few keys go wrong.
func draw(path, name string, history []porcupine.Operation) {
	page := fmt.Sprintf("%s.%x.html", path, name)
	_, info := porcupine.CheckOperationsVerbose(register, history, 10*time.Second)
	if err := porcupine.VisualizePath(register, info, page); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func main() {
	limit := flag.Duration("limit", 2*time.Minute, "for all keys together")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: storm-checker [-limit 2m] HISTORY")
		os.Exit(2)
	}
	result, err := check(flag.Arg(0), *limit)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	json.NewEncoder(os.Stdout).Encode(result)
	os.Exit(map[string]int{"linearizable": 0, "violated": 1, "undecided": 3}[result.Verdict])
}
