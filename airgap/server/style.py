"""The style sheet of the status page: light and dark, wide and narrow, screen and paper."""

CSS = """
:root { color-scheme: light dark; --page: #f4f5f7; --card: #fff; --text: #1b1f24; --quiet: #57606a; --line: #d8dee4;
  --good: #116329; --good-bg: #dcf5e3; --warn: #7a4d00; --warn-bg: #fff1cc; --bad: #a40e26; --bad-bg: #ffe3e6; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f1318; --card: #181d24; --text: #e6e9ed; --quiet: #9aa4af; --line: #2f3742;
    --good: #6fdd8b; --good-bg: #12331c; --warn: #f2c55c; --warn-bg: #3a2c08; --bad: #ff9aa5; --bad-bg: #47141b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem 1rem 3rem; max-width: 76rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
header { display: flex; flex-wrap: wrap; gap: .75rem 1.5rem; align-items: center; justify-content: space-between; }
h1 { margin: .25rem 0; font-size: 1.4rem; overflow-wrap: anywhere; }
h1 span { font-weight: 400; color: var(--quiet); }
h2 { margin: 0 0 .75rem; font-size: 1.1rem; }
.verdict { margin: 0; padding: .4rem .9rem; border-radius: .5rem; font-weight: 600; overflow-wrap: anywhere; }
.good { color: var(--good); background: var(--good-bg); }
.warn { color: var(--warn); background: var(--warn-bg); }
.bad { color: var(--bad); background: var(--bad-bg); }
.badge { display: inline-block; padding: 0 .45rem; border-radius: .35rem; font-size: .85rem; font-weight: 600; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 1rem 0; }
dl div, section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
dl div { padding: .6rem .9rem; }
dt { font-size: .85rem; color: var(--quiet); }
dd { margin: 0; font-size: 1.1rem; font-weight: 600; overflow-wrap: anywhere; }
section { padding: 1rem; margin: 1rem 0; }
section p { margin: 0; }
section > p:not(.verdict) { color: var(--quiet); }
table { width: 100%; border-collapse: collapse; font-size: .95rem; }
th { padding: .35rem .6rem; text-align: left; font-size: .85rem; color: var(--quiet); font-weight: 600; }
td { padding: .5rem .6rem; vertical-align: top; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
td b { font-weight: 600; }
td:nth-child(n+2) { min-width: 6rem; }
td[data-label="What"], td[data-label="Outcome"] { width: 60%; }
small { display: block; font-size: .85rem; color: var(--quiet); }
.digest { font: .75rem/1.6 ui-monospace, "DejaVu Sans Mono", monospace; }
time { white-space: nowrap; }
footer { color: var(--quiet); font-size: .85rem; }
@media (max-width: 44rem) {
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td { display: block; width: auto; }
  tr { padding: .6rem 0; border-top: 1px solid var(--line); }
  tbody tr:first-child { border-top: 0; padding-top: 0; }
  td, td[data-label] { width: auto; padding: .15rem 0; border: 0; display: grid; grid-template-columns: 6.5rem 1fr; gap: .5rem; }
  td::before { content: attr(data-label); color: var(--quiet); font-size: .85rem; }
  td:first-child { grid-template-columns: 1fr; }
  td:first-child::before { display: none; }
}
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --text: #000; --quiet: #444; --line: #999;
    --good: #000; --good-bg: #fff; --warn: #000; --warn-bg: #fff; --bad: #000; --bad-bg: #fff; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  section, dl div { border-radius: 0; }
  tr, dl div, h2 { break-inside: avoid; }
  thead { display: table-header-group; }
  .verdict, .badge { border: 1px solid #000; }
}
"""
