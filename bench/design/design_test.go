// SPDX-License-Identifier: Apache-2.0

package design

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// factors makes one for each number of levels.
func factors(levels ...int) []Factor {
	var all []Factor
	for i, n := range levels {
		f := Factor{Name: fmt.Sprintf("f%d", i)}
		for l := range n {
			f.Levels = append(f.Levels, fmt.Sprint(l))
		}
		all = append(all, f)
	}
	return all
}

func mustNew(t *testing.T, levels ...int) *Design {
	t.Helper()
	d, err := New(factors(levels...))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func twos(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = 2
	}
	return all
}

func TestNew(t *testing.T) {
	check := func(form Form, settings, terms int, levels ...int) {
		t.Helper()
		d := mustNew(t, levels...)
		if d.Form != form || len(d.Settings) != settings || len(d.Terms) != terms {
			t.Errorf("%v: %s with %d settings, %d terms, want %s with %d, %d", levels, d.Form, len(d.Settings), len(d.Terms), form, settings, terms)
		}
		for _, level := range d.Settings[0] {
			if level != 0 {
				t.Errorf("%v: the first setting is %v, want the references", levels, d.Settings[0])
			}
		}
		checkTerms(t, d)
	}
	check(Full, 2, 1, 2)
	check(Full, 3, 2, 3)
	check(Full, 6, 1+2+2, 2, 3)
	check(Full, 32, 5+10, twos(5)...)
	check(Full, 27, 6+12, 3, 3, 3)
	check(Fraction, 16, 6+7, twos(6)...)
	check(Fraction, 16, 8+7, twos(8)...)
	check(Fraction, 32, 9+15, twos(9)...)
	check(Fraction, 32, 16+15, twos(16)...)
	check(OneAtATime, 1+2+1+1+1+1, 6, 3, 2, 2, 2, 2)
	check(OneAtATime, 18, 17, twos(17)...)
	check(OneAtATime, 40, 39, 40)
}

// checkTerms wants each term to be a contrast, and one of a design's settings to give exactly what is planted in a main effect.
func checkTerms(t *testing.T, d *Design) {
	t.Helper()
	for i := range d.Terms {
		sum := 0.0
		for _, w := range d.Terms[i].weights {
			sum += w
		}
		if math.Abs(sum) > 1e-12 {
			t.Errorf("term %d: weights add up to %g", i, sum)
		}
		planted := d.Terms[i].Changes[0]
		logs := make([]float64, len(d.Settings))
		for s, setting := range d.Settings {
			logs[s] = 5
			if setting[planted.Factor] == planted.Level {
				logs[s] += 0.3
			}
		}
		for j := range d.Terms {
			main := len(d.Terms[j].Changes) == 1 && d.Terms[j].Changes[0] == planted
			if got, want := d.Terms[j].contrast(logs), map[bool]float64{true: 0.3}[main]; math.Abs(got-want) > 1e-12 {
				t.Errorf("%s: planted %v, term %v says %g, want %g", d, planted, d.Terms[j].Changes, got, want)
			}
		}
	}
}

// TestInteraction plants what two levels do together only, and wants it in the interaction alone at its full size.
func TestInteraction(t *testing.T) {
	d := mustNew(t, 2, 3)
	logs := make([]float64, len(d.Settings))
	for s, setting := range d.Settings {
		if setting[0] == 1 && setting[1] == 2 {
			logs[s] = 0.6
		}
	}
	got := map[string]float64{}
	for i := range d.Terms {
		got[fmt.Sprint(d.Terms[i].Changes)] = d.Terms[i].contrast(logs)
	}
	// The main effects see the part of it that falls on the average of the other factor.
	want := map[string]float64{"[{0 1}]": 0.2, "[{1 1}]": 0, "[{1 2}]": 0.3, "[{0 1} {1 1}]": 0, "[{0 1} {1 2}]": 0.6}
	for term, w := range want {
		if math.Abs(got[term]-w) > 1e-12 {
			t.Errorf("%s: %g, want %g", term, got[term], w)
		}
	}
}

// TestResolution looks for the shortest word of the defining relation of each fraction: a set of factors whose product is the same in all settings.
func TestResolution(t *testing.T) {
	for n := 6; n <= 16; n++ {
		d := mustNew(t, twos(n)...)
		if got := shortestWord(d); got != 4 {
			t.Errorf("%d factors: resolution %d, want 4", n, got)
		}
		if got, want := len(d.Settings), 1<<(n-len(d.Generators)); got != want {
			t.Errorf("%d factors: %d settings, %d generators", n, got, len(d.Generators))
		}
	}
}

func shortestWord(d *Design) int {
	shortest := math.MaxInt
	for word := 1; word < 1<<len(d.Factors); word++ {
		length, same := 0, true
		for i := range d.Factors {
			length += word >> i & 1
		}
		for _, s := range d.Settings {
			parity := 0
			for i, level := range s {
				parity ^= level & (word >> i)
			}
			same = same && parity&1 == 0
		}
		if same {
			shortest = min(shortest, length)
		}
	}
	return shortest
}

// TestFractionAliases: with eight factors in 16 settings the tables of textbooks have the same chains, such as AB+CE+DF+GH, which depend on
// how factors are named.
func TestFractionAliases(t *testing.T) {
	d := mustNew(t, twos(8)...)
	if got, want := strings.Join(d.Generators, " "), "E=ABC F=ABD G=ACD H=BCD"; got != want {
		t.Errorf("generators %s, want %s", got, want)
	}
	want := []string{
		"AB+CE+DF+GH", "AC+BE+DG+FH", "AD+BF+CG+EH", "AE+BC+DH+FG", "AF+BD+CH+EG", "AG+BH+CD+EF", "AH+BG+CF+DE",
	}
	var got []string
	for _, term := range d.Terms[8:] {
		got = append(got, term.Chain())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("chains\n%v, want\n%v", got, want)
	}
}

func TestNewRefuses(t *testing.T) {
	check := func(want string, factors ...Factor) {
		t.Helper()
		if _, err := New(factors); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", factors, err, want)
		}
	}
	check("nothing to try")
	check("want two at least", Factor{"a", []string{"1"}})
	check("each once", Factor{"a", []string{"1", "2", "1"}})
	check("a is given twice", Factor{"a", []string{"1", "2"}}, Factor{"a", []string{"3", "4"}})
	check("want at most 64", factors(40, 40)...)
	if _, err := New(factors(40, 25)); err != nil {
		t.Error(err)
	}
}
