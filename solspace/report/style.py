"""How a report looks, on screens and in print."""

__all__ = ["STYLE"]

STYLE = """
:root { color-scheme: light; --ink: #222; --soft: #5a5a5a; --line: #d5d5d5; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem; max-width: 72rem; color: var(--ink); background: #fff;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .4rem 0; }
h2 { font-size: 1.35rem; margin: 2.4rem 0 .5rem; padding-top: 1rem;
  border-top: 2px solid var(--ink); }
h3 { font-size: 1.1rem; margin: 1.8rem 0 .4rem; }
h4 { font-size: 1rem; margin: 1.5rem 0 .3rem; padding-top: .6rem;
  border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .5rem 0; }
header p, footer p { color: var(--soft); font-size: .9rem; }
nav ul { padding-left: 1.2rem; columns: 16rem; }
a { color: #00558a; }
figure { margin: .8rem 0; min-width: 0; }
figure svg { display: block; max-width: 100%; height: auto; }
figure.wide svg { width: 100%; max-width: 27rem; }
figcaption { font-size: .82rem; line-height: 1.4; color: var(--soft); margin-top: .4rem;
  max-width: 34rem; }
.row { display: grid; gap: .6rem 1.6rem; align-items: end;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
.row figure { display: grid; grid-template-rows: subgrid; grid-row: span 2; align-items: center; }
.row figcaption { align-self: start; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; margin: .6rem 0; }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem; }
th, td { padding: .25rem .7rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); font-weight: normal; }
thead th { font-weight: 600; vertical-align: bottom; }
tbody th { white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
code { font-size: .8rem; overflow-wrap: anywhere; }
.walk { margin-top: .4rem; }
.walk p { margin: .2rem 0; }
.walk button { font: inherit; color: inherit; background: #f4f4f4; border: 1px solid var(--line);
  border-radius: .3rem; padding: .25rem .6rem; margin: 0 .4rem .3rem 0; cursor: pointer; }
.walk button:hover, .walk button:focus { border-color: var(--ink); }
.facts td { max-width: 52rem; }
@media (max-width: 40rem) {
  /* What is long stands below the numbers of its row. */
  .cards, .cards caption, .cards tbody { display: block; }
  .cards thead { display: none; }
  .cards tr { display: flex; flex-wrap: wrap; gap: 0 .9rem; padding: .35rem 0;
    border-bottom: 1px solid var(--line); }
  .cards th, .cards td { border: 0; padding: 0; }
  .cards td.wide { flex-basis: 100%; }
  .cards [data-head]::before { content: attr(data-head) " "; color: var(--soft); }
  .facts, .facts tbody, .facts tr, .facts th, .facts td { display: block; }
  .facts th { font-weight: 600; border: 0; padding-top: .4rem; }
}
footer { margin-top: 2.5rem; border-top: 1px solid var(--line); }
@media print {
  @page { margin: 1.4cm; }
  body { padding: 0; max-width: none; font-size: 9.5pt; }
  h2 { break-before: page; } section:first-child h2 { break-before: auto; }
  h3, h4 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  .row { grid-template-columns: repeat(2, 1fr); gap: .3rem 1rem; break-inside: avoid; }
  .row figure:first-child { grid-column: 1 / -1; }
  figure.wide svg { max-width: 6.4cm; }
  h4 { margin-top: .6rem; } figure { margin: .4rem 0; }
  .scroll { overflow: visible; }
  .walk { display: none; }
  a { color: inherit; text-decoration: none; }
}
"""
