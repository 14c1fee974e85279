// SPDX-License-Identifier: Apache-2.0

package dwarf

import "container/list"

// cache keeps values within a budget of bytes. Those that were used least recently go first.
type cache[K comparable, V any] struct {
	budget, used int
	byKey        map[K]*list.Element
	order        list.List // most recently used first
	dropped      func(V)   // is told of values that go; or nil
}

type cached[K comparable, V any] struct {
	key   K
	value V
	cost  int
}

func newCache[K comparable, V any](budget int, dropped func(V)) *cache[K, V] {
	return &cache[K, V]{budget: budget, dropped: dropped, byKey: make(map[K]*list.Element)}
}

func (c *cache[K, V]) get(key K) (v V, ok bool) {
	e, ok := c.byKey[key]
	if !ok {
		return v, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*cached[K, V]).value, true
}

// put keeps a value that costs so many bytes. One that alone exceeds the budget is kept until the next comes.
func (c *cache[K, V]) put(key K, v V, cost int) {
	c.byKey[key] = c.order.PushFront(&cached[K, V]{key, v, 0})
	c.charge(key, cost)
}

// charge says that a value which is kept costs so many bytes more.
func (c *cache[K, V]) charge(key K, cost int) {
	if e, ok := c.byKey[key]; ok {
		e.Value.(*cached[K, V]).cost += cost
		c.used += cost
	}
	for c.used > c.budget && c.order.Len() > 1 {
		c.drop(c.order.Back())
	}
}

func (c *cache[K, V]) drop(e *list.Element) {
	old := c.order.Remove(e).(*cached[K, V])
	delete(c.byKey, old.key)
	c.used -= old.cost
	if c.dropped != nil {
		c.dropped(old.value)
	}
}

// clear drops everything.
func (c *cache[K, V]) clear() {
	for c.order.Len() > 0 {
		c.drop(c.order.Back())
	}
}
