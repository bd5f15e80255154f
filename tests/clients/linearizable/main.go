// Reads a history of calls (one JSON object a line) and tells whether it is linearizable: whether each call could have had
// its effect at one moment between its beginning and its answer, so that all answers come out as they were heard. A call
// without an answer may have its effect at any time after its beginning, or never.
//
// Objects: the stock of a SKU (adjusted, reserved by orders, read) and an idempotency key (it makes one order, whoever
// repeats it). Exit code 0: linearizable; 1: not, with the object named; 2: nobody knows (out of time, or no history).
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

type call struct {
	Client   int    `json:"client"`
	Object   string `json:"object"` // "stock:SKU" or "key:KEY"
	Kind     string `json:"kind"`   // adjust, order, read; place, find
	Quantity int64  `json:"quantity"`
	Begin    int64  `json:"begin"`  // nanoseconds
	End      int64  `json:"end"`    // 0: no answer
	Answer   string `json:"answer"` // done, refused, unknown; for find: found, missing
	OnHand   int64  `json:"on_hand"`
	Reserved int64  `json:"reserved"`
	ID       string `json:"id"` // of the order
}

type stock struct{ onHand, reserved int64 }

func stockStep(before any, input any, _ any) []any {
	at, c := before.(stock), input.(call)
	heard := stock{c.OnHand, c.Reserved}
	switch c.Kind {
	case "read":
		if heard == at {
			return []any{at}
		}
	case "adjust":
		after := stock{at.onHand + c.Quantity, at.reserved}
		fits := after.onHand >= at.reserved
		switch {
		case c.Answer == "done" && fits && heard == after:
			return []any{after}
		case c.Answer == "refused" && !fits:
			return []any{at}
		case c.Answer == "unknown" && fits:
			return []any{at, after}
		case c.Answer == "unknown":
			return []any{at}
		}
	case "order":
		after := stock{at.onHand, at.reserved + c.Quantity}
		fits := after.reserved <= at.onHand
		switch {
		case c.Answer == "done" && fits:
			return []any{after}
		case c.Answer == "refused" && !fits:
			return []any{at}
		case c.Answer == "unknown" && fits:
			return []any{at, after}
		case c.Answer == "unknown":
			return []any{at}
		}
	}
	return nil
}

func keyStep(before any, input any, _ any) []any {
	at, c := before.(string), input.(call)
	switch {
	case c.Kind == "place" && (at == "" || at == c.ID):
		return []any{c.ID}
	case c.Kind == "find" && c.Answer == "found" && at == c.ID:
		return []any{at}
	case c.Kind == "find" && c.Answer == "missing" && at == "":
		return []any{at}
	}
	return nil
}

func read(path string) map[string][]call {
	file, err := os.Open(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	defer file.Close()
	objects := map[string][]call{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var c call
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		objects[c.Object] = append(objects[c.Object], c)
	}
	return objects
}

func check(object string, calls []call) porcupine.CheckResult {
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{stock{}} },
		Step: stockStep,
	}
	if object[:4] == "key:" {
		model = porcupine.NondeterministicModel{Init: func() []any { return []any{""} }, Step: keyStep}
	}
	var history []porcupine.Operation
	for _, c := range calls {
		end := c.End
		if end == 0 {
			end = math.MaxInt64
		}
		history = append(history, porcupine.Operation{ClientId: c.Client, Input: c, Call: c.Begin, Return: end})
	}
	return porcupine.CheckOperationsTimeout(model.ToModel(), history, 60*time.Second)
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: linearizable HISTORY")
		os.Exit(2)
	}
	objects := read(os.Args[1])
	var names []string
	calls := 0
	for name := range objects {
		names = append(names, name)
		calls += len(objects[name])
	}
	sort.Strings(names)
	code := 0
	for _, name := range names {
		switch check(name, objects[name]) {
		case porcupine.Illegal:
			fmt.Printf("not linearizable: %s (%d calls)\n", name, len(objects[name]))
			code = 1
		case porcupine.Unknown:
			fmt.Printf("not known in time: %s (%d calls)\n", name, len(objects[name]))
			if code == 0 {
				code = 2
			}
		}
	}
	if calls == 0 {
		code = 2
	}
	fmt.Printf("%d calls on %d objects\n", calls, len(objects))
	os.Exit(code)
}
