"""The style sheet of all pages: light and dark, wide and narrow, screen and A4 paper."""

from __future__ import annotations

import base64
import hashlib

# What a system font lacks, such as Chinese, Japanese and Korean letters, comes from the first of these that is installed.
_ASIAN = (
    '"Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "Yu Gothic", '
    '"Malgun Gothic", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback"'
)

CSS = """
:root { color-scheme: light dark; --page: #f4f5f7; --card: #fff; --text: #1b1f24; --quiet: #57606a; --line: #d8dee4;
  --good: #116329; --good-bg: #dcf5e3; --warn: #7a4d00; --warn-bg: #fff1cc; --bad: #a40e26; --bad-bg: #ffe3e6;
  --new: #c9efd4; --changed: #ffe2a0; --same: #cfe0f5; --shared: #e3d6f3; --rest: #e2e6ea; --fill: #3667a6; }
@media (prefers-color-scheme: dark) {
  :root { --page: #0f1318; --card: #181d24; --text: #e6e9ed; --quiet: #9aa4af; --line: #2f3742;
    --good: #6fdd8b; --good-bg: #12331c; --warn: #f2c55c; --warn-bg: #3a2c08; --bad: #ff9aa5; --bad-bg: #47141b;
    --new: #1c4a2a; --changed: #594208; --same: #1f3a5c; --shared: #43305f; --rest: #343c46; --fill: #7fb0ee; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem 1rem 3rem; max-width: 72rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, "Segoe UI", "DejaVu Sans", ASIAN, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; overflow-wrap: anywhere; }
h1 span { font-weight: 400; }
h2 { margin: 0 0 .75rem; font-size: 1.15rem; }
h3 { margin: 1.25rem 0 .4rem; font-size: 1rem; }
p { margin: .5rem 0; }
.quiet, caption, dt, thead th, small, summary, figcaption, footer { color: var(--quiet); }
header, section, dl.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
header, section { padding: 1rem 1.25rem; margin: 1rem 0; }
header { display: grid; grid-template-columns: 1fr auto; gap: 0 1.5rem; align-items: start; }
header figure { margin: 0; text-align: center; font-size: .8rem; }
.qr { display: block; width: 11rem; height: 11rem; }
.verdict { margin: .75rem 0; padding: .45rem .9rem; border-radius: .5rem; font-weight: 600; overflow-wrap: anywhere; }
header > .verdict { margin: 0; }
.badge { display: inline-block; padding: 0 .45rem; border-radius: .35rem; font-size: .85rem; font-weight: 600; }
.good { color: var(--good); background: var(--good-bg); }
.warn { color: var(--warn); background: var(--warn-bg); }
.bad { color: var(--bad); background: var(--bad-bg); }
.new { background: var(--new); fill: var(--new); }
.changed { background: var(--changed); fill: var(--changed); }
.unchanged { background: var(--same); fill: var(--same); }
.shared { background: var(--shared); fill: var(--shared); }
.rest { background: var(--rest); fill: var(--rest); }
dl.list { margin: .75rem 0 0; }
dl.list div { display: grid; grid-template-columns: 7rem 1fr; gap: .75rem; padding: .1rem 0; }
dl.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 1rem 0; }
dl.tiles div { padding: .6rem .9rem; }
dt, thead th, small, footer, .legend { font-size: .875rem; }
dd { margin: 0; overflow-wrap: anywhere; }
dl.tiles dd { font-size: 1.15rem; font-weight: 600; }
table { width: 100%; border-collapse: collapse; font-size: .95rem; margin: .25rem 0 .75rem; }
th, td { padding: .45rem .6rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
tbody th, td { border-top: 1px solid var(--line); }
td { min-width: 5.5rem; }
td[data-label="Platforms"], td[data-label="Attached"] { min-width: 8.5rem; }
td[data-label="Bytes"], td[data-label="Size"] { min-width: 7rem; }
td[data-label="Bytes"], time { white-space: nowrap; }
tbody th time, small { font-weight: 400; }
small { display: block; }
code, .digest { font: .82rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace, ASIAN; overflow-wrap: anywhere; }
small.digest { font-size: .75rem; }
ul { margin: .25rem 0 .75rem; padding-left: 1.2rem; }
li { overflow-wrap: anywhere; padding: .1rem 0; }
summary { cursor: pointer; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.treemap, .bar, .key { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.treemap, .bar { display: block; }
.treemap { margin: .5rem 0; border-radius: .4rem; }
.treemap rect { stroke: var(--card); stroke-width: 2; }
.treemap p { margin: 0; padding: 0 6px 0 8px; font-size: 13px; line-height: 17px;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.treemap p:first-child { padding-top: 5px; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0 0 .5rem; padding: 0; list-style: none; }
.key { display: inline-block; width: .9rem; height: .9rem; margin-right: .4rem; border: 1px solid var(--line); border-radius: .2rem;
  vertical-align: -.1rem; }
.bar { margin-top: .2rem; }
.bar .fill { fill: var(--fill); }
@media screen and (min-width: 44rem) { #errors td:last-child, #history td:last-child { width: 60%; } }
@media screen and (max-width: 44rem) {
  header { grid-template-columns: 1fr; gap: .75rem; justify-items: start; }
  dl.list div { grid-template-columns: 1fr; gap: 0; padding: .25rem 0; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td, tbody th { display: block; }
  tr { padding: .6rem 0; border-top: 1px solid var(--line); }
  tbody tr:first-child { border-top: 0; padding-top: 0; }
  td, tbody th { padding: .15rem 0; border: 0; }
  td { display: grid; grid-template-columns: 6.5rem 1fr; gap: .5rem; }
  td::before { content: attr(data-label); color: var(--quiet); font-size: .875rem; }
}
@page { size: A4; margin: 14mm 14mm 16mm; }
@media print {
  :root { color-scheme: light; --page: #fff; --card: #fff; --text: #000; --quiet: #444; --line: #999;
    --good: #000; --good-bg: #fff; --warn: #000; --warn-bg: #fff; --bad: #000; --bad-bg: #fff;
    --new: #c9efd4; --changed: #ffe2a0; --same: #cfe0f5; --shared: #e3d6f3; --rest: #e2e6ea; --fill: #555; }
  html { font-size: 9pt; }
  body { max-width: none; padding: 1.75rem 0 0; position: relative; }
  #images tbody th { width: 46%; }
  header, section { border: 0; border-radius: 0; padding: 0; margin: 0 0 1.25rem; }
  header { border-bottom: 1px solid var(--line); padding-bottom: .75rem; }
  h2 { border-bottom: 1px solid var(--line); }
  h2, h3 { break-after: avoid; }
  p, tr, dl div, li, .treemap, .keep, figure { break-inside: avoid; }
  main > section:last-child { margin-bottom: 0; }
  /* a last page for this line alone would be a waste: on paper it is the first one */
  footer { position: absolute; top: 0; left: 0; }
  thead { display: table-header-group; }
  .verdict, .badge, dl.tiles div { border: 1px solid #000; border-radius: 0; }
  dl.tiles { grid-template-columns: repeat(4, 1fr); gap: .4rem; }
  .treemap { height: 15rem; }
  details:not([open]) summary::after { content: " (folded; see the page on a screen)"; }
}
""".replace("ASIAN", _ASIAN)

_HASH = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
#: The browser may use our style sheet and nothing else, whatever somebody manages to get into a page.
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; img-src data:; base-uri 'none'; form-action 'none'"
