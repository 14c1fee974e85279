// SPDX-License-Identifier: Apache-2.0

// The page: one graph at a time, of the sample type that is chosen.

import flamegraph from "d3-flame-graph";
import { select } from "d3-selection";
import { colour, matchColour, onThemeChange } from "./colours.js";
import { formatCount, formatShare, formatValue, readProfile, tree } from "./data.js";
import { matchedValue, matcher } from "./search.js";
import "./style.css";

const element = (id) => document.getElementById(id);
const profile = readProfile();
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

// What is on show.
let graph; // of profile.types
let chart;
let zoomed; // the node that fills the width
let matches = () => false;

function describe(node) {
  const { name, value, self } = node.data;
  const parts = [`${formatValue(graph, value)}, ${formatShare(value, graph.total)} of all`];
  if (zoomed?.parent) parts.push(`${formatShare(value, zoomed.data.value)} of the zoomed frame`);
  if (self > 0) parts.push(`${formatValue(graph, self)} in itself`);
  return `${name}: ${parts.join("; ")}`;
}

function draw() {
  const container = element("chart");
  container.replaceChildren();
  chart = flamegraph()
    .width(container.clientWidth)
    .cellHeight(20)
    .minFrameSize(0.4)
    .transitionDuration(0) // who opens a page wants to read it; only zooming shows where frames go
    .inverted(element("direction").value === "down")
    .resetHeightOnZoom(true)
    .setLabelHandler(describe)
    .setColorMapper((node) => (node.highlight ? matchColour() : colour(node.data.kind, node.data.name)))
    .setSearchMatch((node) => matches(node.data.name))
    .setSearchHandler((found) => showMatches(found))
    .setDetailsHandler((text) => {
      element("details").textContent = text || hint();
    })
    .onClick((node) => {
      zoomed = node;
      element("reset").disabled = !node.parent;
      element("details").textContent = hint();
    });
  zoomed = undefined;
  element("reset").disabled = true;
  select(container).datum(tree(profile, graph)).call(chart);
  chart.transitionDuration(calm.matches ? 0 : 200);
  element("details").textContent = hint();
  search();
}

function hint() {
  return zoomed?.parent ? `Zoomed: ${describe(zoomed)}` : "Point at a frame to see its numbers, click to zoom.";
}

function search() {
  const term = element("search").value;
  if (!term) {
    element("found").textContent = "";
    chart.clear();
    return;
  }
  matches = matcher(term);
  chart.search(term);
}

function showMatches(found) {
  const value = matchedValue(found);
  element("found").textContent = `${formatCount(found.length)} frames, ${formatValue(graph, value)}, ${formatShare(value, graph.total)} of all`;
}

function choose(index) {
  graph = profile.types[index];
  for (const [i, tab] of [...element("types").children].entries()) {
    tab.setAttribute("aria-pressed", String(i === index));
  }
  element("merged").textContent = saysMerged();
  draw();
}

function saysMerged() {
  const percent = Number((100 * graph.minShare).toPrecision(2));
  return percent > 0 ? `Frames under ${percent}% of ${graph.name} are drawn together as (other).` : "";
}

function addTypes() {
  for (const [index, type] of profile.types.entries()) {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.textContent = `${type.name} ${formatValue(type, type.total)}`;
    tab.addEventListener("click", () => choose(index));
    element("types").append(tab);
  }
}

// "/" goes to the search, Escape out of it and then out of the zoom.
function onKey(event) {
  const field = element("search");
  if (event.key === "/" && document.activeElement !== field) {
    event.preventDefault();
    field.focus();
  }
  if (event.key !== "Escape") return;
  if (field.value) {
    field.value = "";
    search();
  } else {
    chart.resetZoom();
  }
}

// Draws anew when a burst of changes is over.
let waiting;
function drawSoon() {
  clearTimeout(waiting);
  waiting = setTimeout(draw, 150);
}

function start() {
  if (profile.types.length === 0) {
    element("details").textContent = "The profile has no samples.";
    return;
  }
  addTypes();
  element("search").addEventListener("input", search);
  element("reset").addEventListener("click", () => chart.resetZoom());
  element("direction").addEventListener("change", draw);
  document.addEventListener("keydown", onKey);
  window.addEventListener("resize", drawSoon);
  onThemeChange(draw);
  choose(profile.first);
}

start();
