"""Writes golden.json: what transformers' Jinja makes of small templates.

    pip install transformers==5.24.0 jinja2==3.1.6
    python3 make_golden.py            # in this directory

Per case: source, text and spans (bytes, of {% generation %}), or error: true.
The variables are those of VARS.
"""

import datetime
import json
import pathlib

from transformers.utils import chat_template_utils as u

VARS = {"s": "Hello, Wörld", "e": "", "n": 3, "f": 2.5, "z": 0, "t": True, "none": None, "l": [3, 1, 2], "w": ["b", "A", "c"], "u": "a 🙂 é\n", "tiny": 1e-7, "big": 1e16,
        "d": {"b": 1, "a": [1, None, {"x": "y"}], "items": 7}, "objs": [{"n": "x", "v": 1, "k": {"q": 5}}, {"n": "y", "v": 2, "k": {"q": 4}}, {"n": "z"}], "q": "it's \"q\" \\ \x01\x7f\u2028<&>", "nested": [[1, 2], [3, 4]]}

CASES = r"""
a {{ s }} b
{{ none }}|{{ t }}|{{ f }}|{{ tiny }}|{{ big }}|{{ 1.0 }}|{{ 100000.0 }}|{{ undef }}|{{ [1, 'a', none, 2.0] }}|{{ {'k': "v'"} }}
{{ q }}|{{ [q] }}
{{ u|tojson }}|{{ q|tojson }}|{{ d|tojson }}|{{ tiny|tojson }}|{{ [t, none, 1.5]|tojson }}
{{ d|tojson(indent=2) }}|{{ []|tojson(indent=4) }}|{{ {}|tojson(indent=4) }}
{{ d|tojson(separators=(',', ':')) }}|{{ d|tojson(sort_keys=true) }}|{{ u|tojson(ensure_ascii=true) }}|{{ u|tojson(true) }}
{% if n > 2 and not e %}yes{% else %}no{% endif %}
{% if z %}a{% elif n == 3 %}b{% else %}c{% endif %}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ x }};{% endfor %}
{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}
{% for x in l if x > 1 %}{{ loop.index }}:{{ x }} {% else %}none{% endfor %}
{% for x in [] %}{{ x }}{% else %}none{% endfor %}
{% for x in undef %}{{ x }}{% else %}none{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for k in d %}{{ k }} {% endfor %}{{ d['items'] }}
{% for k, v in d|items %}{{ k }}{% endfor %}{% for k, v in d|dictsort %}{{ k }}{% endfor %}
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in 'añb' %}[{{ x }}]{% endfor %}
{% for x in range(3) %}{{ x }}{% endfor %}{% for x in range(5, 0, -2) %}{{ x }}{% endfor %}{{ range(2)|list }}
{% for a in nested %}{% for b in a %}{{ loop.index }}{{ b }}{% endfor %}{{ loop.index }}{% endfor %}
{% for x, y in nested %}{{ x + y }},{% endfor %}
{% for x in l %}{{ loop.cycle('o', 'e') }}{% endfor %}{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %}
{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}
{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}
{% set ns = namespace(a=1, b='') %}{% for i in l %}{% set ns.a = ns.a + i %}{% set ns.b = ns.b ~ i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.none }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set a = (1, 2) %}{{ a[1] }}
{% set x %}in {{ n }}{% endset %}[{{ x }}]{% set y | upper %}abc{% endset %}{{ y }}
{% macro m(a, b='B', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, 2) }}|{{ m(b=3, a=4, c=5) }}|{{ m() }}
{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(3) }}
{% set g = 'out' %}{% macro m() %}{{ g }}{{ n }}{% endmacro %}{% set g = 'late' %}{{ m() }}
{% macro m(a, b) %}({{ caller(a) }}{{ b }}){% endmacro %}{% call(x) m(1, 2) %}<{{ x }}>{% endcall %}
{% macro m(x) %}{{ caller() }}{% endmacro %}{% call m(1) %}body {{ n }}{% endcall %}
{% macro m() %}a{% endmacro %}{{ m() | upper }}{{ m() ~ m() }}{{ m().strip() }}
{% filter upper %}abc{{ s }}{% endfilter %}
{% with a = 1, b = n %}{{ a + b }}{% endwith %}{{ a }}
{{ 7 // 2 }}{{ -7 // 2 }}{{ 7 % 3 }}{{ -7 % 3 }}{{ 7 / 2 }}{{ 4 / 2 }}{{ 2 ** 10 }}{{ 2 ** -1 }}{{ -2 ** 2 }}{{ 1 + 2 * 3 }}{{ (1 + 2) * 3 }}
{{ 'a' + 'b' }}{{ 'a' ~ 1 ~ none }}{{ 'ab' * 3 }}{{ [1] + [2] }}{{ 1.5 + 1 }}{{ t + 1 }}
{{ 1 < 2 < 3 }}{{ 1 == 1.0 }}{{ 'a' < 'b' }}{{ [1, 2] < [1, 3] }}{{ t == 1 }}{{ none == none }}{{ 'a' != 'b' }}{{ 2 >= 2 }}
{{ 'ell' in s }}{{ 'x' not in s }}{{ 1 in l }}{{ 'b' in d }}{{ 'a' in undef }}{{ 'z' in d.keys() }}{{ not 1 in l }}
{{ 'x' if t else 'y' }}{{ 'x' if z }}|{{ 1 if z else 2 if z else 3 }}
{{ t and 'a' or 'b' }}{{ z or e or none }}{{ n and s }}
{{ s[0] }}{{ s[-1] }}{{ s[1:4] }}{{ s[:-2] }}{{ s[::-1] }}{{ s[8] }}{{ l[1:] }}{{ l[:1] }}{{ l[-2:] }}{{ l[::2] }}{{ l[::-1] }}{{ l[5:] }}{{ s[100:] }}
{{ d.b }}{{ d['b'] }}{{ d.a[2].x }}{{ d.zz }}{{ d['zz'] }}{{ l[9] }}{{ d.get('b') }}{{ d.get('q', 'def') }}{{ d.get('q') }}{{ objs[0].k['q'] }}
{{ l.0 }}{{ nested[1][0] }}
{{ s is defined }}{{ undef is defined }}{{ undef is undefined }}{{ none is none }}{{ d.q is none }}{{ s is string }}{{ n is number }}{{ t is number }}{{ f is float }}{{ n is integer }}{{ t is integer }}
{{ d is mapping }}{{ l is sequence }}{{ s is sequence }}{{ l is iterable }}{{ n is iterable }}{{ d is iterable }}{{ t is true }}{{ 1 is true }}{{ z is false }}{{ t is boolean }}{{ s is not string }}
{{ n is odd }}{{ n is even }}{{ 6 is divisibleby 3 }}{{ 6 is divisibleby(4) }}{{ n is eq 3 }}{{ n is equalto(4) }}{{ 1 is in [1] }}{{ 'A' is upper }}{{ n is gt 2 and n is lt 4 }}{{ undef is none }}{{ none is defined }}
{{ not undef is defined }}{{ s is defined and s is string }}{{ s|length is eq 12 }}
{{ s|length }}{{ u|length }}{{ l|length }}{{ d|length }}{{ undef|length }}{{ l|count }}
{{ '  a b  '|trim }}|{{ 'xxaxx'|trim('x') }}|{{ s|upper }}{{ s|lower }}{{ 'aB cD-eF'|title }}{{ 'aB c'|capitalize }}
{{ l|join(', ') }}{{ w|join }}{{ objs|join('-', attribute='n') }}{{ l|first }}{{ l|last }}{{ s|first }}{{ []|first }}{{ s|list }}
{{ undef|default('d') }}{{ none|default('d') }}{{ e|default('d', true) }}{{ e|d('d') }}{{ s|default('x') }}{{ undef|default }}
{{ l|sort }}{{ w|sort }}{{ w|sort(reverse=true) }}{{ w|sort(case_sensitive=true) }}{{ l|reverse|list }}{{ s|reverse }}{{ [1, 1, 2]|unique|list }}{{ ['a', 'A']|unique|list }}
{{ objs|map(attribute='n')|list }}{{ objs|map(attribute='v', default=0)|list }}{{ w|map('upper')|join }}{{ objs|map(attribute='k.q', default='-')|join(',') }}{{ w|map('replace', 'b', 'x')|list }}
{{ objs|selectattr('v')|map(attribute='n')|list }}{{ objs|selectattr('v', 'equalto', 2)|list|length }}{{ objs|rejectattr('v', 'defined')|map(attribute='n')|list }}{{ l|select('gt', 1)|list }}{{ l|reject('odd')|list }}{{ [0, 1, '']|select|list }}
{{ 'a.b'|replace('.', '-') }}{{ 'aaa'|replace('a', 'b', 2) }}{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}
{{ '3'|int }}{{ 'x'|int }}{{ 'x'|int(7) }}{{ 3.9|int }}{{ '1.5'|float }}{{ 'x'|float }}{{ n|string ~ 'a' }}{{ -3|abs }}{{ l|sum }}{{ l|max }}{{ l|min }}{{ 2.567|round(1) }}{{ 2.5|round }}{{ 7|float }}
{{ '<a>&"\''|e }}{{ '<a>'|safe }}
{{ s.upper() }}{{ s.lower() }}{{ ' a '.strip() }}{{ 'xax'.lstrip('x') }}{{ 'xax'.rstrip('x') }}{{ s.startswith('He') }}{{ s.endswith(('x', 'ld')) }}{{ s.find('W') }}{{ s.find('zz') }}{{ 'a-b-c'.split('-') }}{{ ' a  b '.split() }}{{ 'a-b-c'.split('-', 1) }}{{ 'a-b-c'.rsplit('-', 1) }}
{{ 'a\nb\n'.splitlines() }}{{ 'a\x0bb\x0cc\x85d\u2028e\r\nf\n\ng\x1ch'.splitlines() }}{{ '\x1c a \x1f'|trim }}{{ 'a\x1db c'.split() }}{{ '\x1e'.isspace() }}{{ '-'.join(w) }}{{ 'aXa'.replace('X', '-') }}{{ 'abc'.count('b') }}{{ 'ab cd'.title() }}{{ 'ABC'.capitalize() }}{{ '12'.isdigit() }}{{ 'ab'.isalpha() }}{{ 'ab'.removeprefix('a') }}{{ 'a' 'b' }}
{{ d.keys()|list }}{{ d.values()|list }}{{ d.items()|list }}{{ dict(a=1, b=2) }}{{ l.index(1) }}{{ l.count(1) }}
{{ "a\tb\\n\x41\u00e9\U0001F642\'\"" }}{{ 'line\
cont' }}
{{ 1_000 }}{{ 1e3 }}{{ 1.5e-5 }}{{ 5 if z else 0.5 }}
{%- if t -%}  a  {%- endif -%}  b
  {% if t %}  
x
  {% endif %}  
y
  {%+ if t %}x{% endif +%}
y
  {{- s -}}  z
{# c #}a {#- c -#} b{# multi
line #}
c
{% raw %}{{ not }} {% this %}{% endraw %}|{%- raw -%} {{ x }} {%- endraw -%} |
a{{ '}}' }}b{{ "%}" }}c{{ {'a': {'b': 1}}['a']['b'] }}
{{ 'a' if n == 3 and (t or z) else 'b' }}{{ (1, 2, 3)|length }}{{ () }}{{ (1,) }}
{{ strftime_now('%d %b %Y %B %A %H:%M:%S %j %y %-d') }}
{% generation %}é{% endgeneration %}b
{% for x in w %}u{{ x }}{% generation %}ü{{ x }}{% endgeneration %}
{% endfor %}end{% if z %}{% generation %}no{% endgeneration %}{% endif %}
{% generation %}{% set q = 1 %}{% endgeneration %}{{ q }}
{% set ns = namespace(x=0) %}{% for i in range(4) %}{%- if i is odd -%}{% set ns.x = i %}{%- endif -%}{% endfor %}{{ ns.x }}
{% if messages is not defined %}none{% endif %}{{ messages|default([])|length }}
{{ loop is defined }}{% for a in l %}{{ loop is defined }}{% endfor %}
{{ raise_exception('no') }}
{{ undef.x }}
{{ undef['x'] }}
{{ none.x }}|{{ none['x'] }}
{{ none.x.y }}
{{ undef() }}
{{ s.nope() }}
{{ s + 1 }}
{{ none + 'a' }}
{{ 'a' < 1 }}
{{ 1 in 'abc' }}
{{ l.append(4) }}
{{ d.update({'x': 1}) }}
{% for x in 3 %}{% endfor %}
{% for x in none %}{% endfor %}
{{ s|nope }}
{{ s is nope }}
{{ 1 // 0 }}
{% include 'x' %}
{% if %}{% endif %}
{% if t %}
{{ s
{% endfor %}
{% set ns = namespace() %}{% set d.x = 1 %}
{{ range(1000000)|length }}
{{ undef + 'a' }}
{{ -undef }}
{{ undef|tojson }}
{% do l.append(1) %}
{{ none|length }}
{{ (1, 2) == [1, 2] }}{{ (1, 2) + (3,) }}{{ 'a' ~ undef }}{{ undef == undef2 }}{{ undef == none }}{{ undef or 'x' }}
"""


class Pinned(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


def main():
    u.datetime = Pinned
    lines = CASES.strip("\n").split("\n")
    # Templates of several lines: those that belong together.
    joins = {"  {% if t %}  ": 5, "  {%+ if t %}x{% endif +%}": 2, "{# c #}a {#- c -#} b{# multi": 3, "{% for x in w %}u{{ x }}{% generation %}ü{{ x }}{% endgeneration %}": 2}
    cases, i = [], 0
    while i < len(lines):
        n = 2 if lines[i].endswith("\\") else joins.get(lines[i], 1)
        cases.append("\n".join(lines[i:i + n]))
        i += n
    cases += ["a\r\nb{{ n }}\r\n", "x\n\n", "{% if t %}\n\n\nb{% endif %}\n\nc\n", "{{ n }}\n{{ n }}\n", " {# c #}\n a", "\t{% set a = 1 %}\n{{ a }}", "x {% set a = 1 %}\ny"]
    out = []
    for source in cases:
        try:
            text, spans = u.render_jinja_template([[]], chat_template=source, return_assistant_tokens_mask="generation" in source,
                                                  **{k: v for k, v in VARS.items()})
            text = text[0]
            out.append({"source": source, "text": text, "spans": [[len(text[:a].encode()), len(text[:b].encode())] for a, b in spans[0]] if spans else []})
        except Exception as e:  # whatever Python says: an error is wanted
            print(f"{type(e).__name__}: {e}".split("\n")[0], "<-", source)
            out.append({"source": source, "error": True})
    text = json.dumps({"vars": VARS, "cases": out}, ensure_ascii=False, indent=1)
    pathlib.Path("golden.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
