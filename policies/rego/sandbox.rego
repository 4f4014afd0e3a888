# The evaluator of lib/ once more, in Rego: decides a decision document (docs/policy.md) by policy documents, and comes to
# the same answer and the same violated rules. t/extra/opa.t holds the two against each other.
#
# `sandbox.decision` is for sandbox_policy_opa. It reads the documents from data.policies:
#   {"default": document, "tenants": {"<tenant>": {"documents": [...], "apps": {"<app>": [...]},
#    "agents": {"<agent>": [...]}, "templates": {"<template>": [...]}}}}
# all of it optional. Documents are taken to be of the form of policies/policy.schema.json: nothing here checks them.
package sandbox

import rego.v1

decision := answer(layers_of(input), input)

# The operator's default document first, then those that narrow it.
layers_of(question) := array.concat([default_document], narrowing) if {
	tenant := object.get(tenants, question.tenant, {})
	narrowing := [document |
		some path in [
			["documents"], ["apps", question.app], ["agents", question.agent],
			["templates", question.request.template],
		]
		some document in object.get(tenant, path, [])
	]
}

default default_document := {"version": 1}

default_document := data.policies["default"]

default tenants := {}

tenants := data.policies.tenants

answer(layers, question) := {"allow": count(found) == 0, "violations": found} if {
	found := [violation | some violation in violations(layers, question)]
}

violations(layers, question) := union({
	too_many(layers), amounts(layers, question), times(layers, question), sizes(layers, question),
	isolation(layers, question), names(layers, question), entries(layers, question),
})

# A view of lib/ holds so many besides the default document.
layers_max := 24

too_many(layers) := {violation |
	count(layers) > layers_max + 1
	violation := {"rule": "policies.max", "limit": layers_max, "observed": count(layers) - 1, "hint": "apply fewer policies"}
}

exceeds(rule, most, asked) := {"rule": rule, "limit": most, "observed": asked, "hint": "ask for less"}

# --- numbers ---

MiB := 1048576

hour := 3600000

limit_specs := {
	"cpu": {"member": "cpu_millicores", "form": "cpu", "max": 4000},
	"cpu_time": {"member": "cpu_time_ms", "form": "duration", "max": 300000},
	"memory": {"member": "memory_bytes", "form": "quantity", "max": 1024 * MiB},
	"disk": {"member": "disk_bytes", "form": "quantity", "max": 1024 * MiB},
	"processes": {"member": "processes", "form": "quantity", "max": 512},
	"time": {"member": "time_ms", "form": "duration", "max": 300000},
	"output": {"member": "output_bytes", "form": "quantity", "max": 64 * MiB},
}

amounts(layers, question) := {violation |
	question.kind in {"job", "session"}
	some name, spec in limit_specs
	asked := question.request.limits[spec.member]
	most := longest(layers, ["limits", name], spec)
	asked > most
	violation := exceeds(concat(".", ["limits", name]), most, asked)
}

time_specs := {
	"ttl": {"member": "ttl_ms", "form": "duration", "max": 24 * hour},
	"idle_timeout": {"member": "idle_timeout_ms", "form": "duration", "max": 24 * hour},
	"step_timeout": {"member": "step_timeout_ms", "form": "duration", "max": 600000},
	"cpu_time": {"member": "cpu_time_ms", "form": "duration", "max": 24 * hour},
}

times(layers, question) := {violation |
	some name, spec in time_specs
	asked := question.request.session[spec.member]
	most := min([longest(layers, ["sessions", name], spec), lifetime(layers, name)])
	asked > most
	violation := exceeds(concat(".", ["sessions", name]), most, asked)
}

# No session is asked to live longer than any may.
lifetime(layers, "ttl") := least(layers, ["sessions", "max_lifetime"], {"form": "duration", "builtin": 24 * hour})

lifetime(_, name) := 1000000 * hour if name != "ttl"

size_specs := [
	{"rule": "env.max", "path": ["env", "max"], "form": "quantity", "builtin": 64, "member": "env_count"},
	{"rule": "files.max", "path": ["files", "max"], "form": "quantity", "builtin": 64, "member": "files_count"},
	{"rule": "files.max_bytes", "path": ["files", "max_bytes"], "form": "quantity", "builtin": 8 * MiB, "member": "files_bytes"},
	{"rule": "artifacts.max", "path": ["artifacts", "max"], "form": "quantity", "builtin": 64, "member": "artifacts_count"},
	{"rule": "max_wait", "path": ["max_wait"], "form": "duration", "builtin": 60000, "member": "wait_ms"},
]

sizes(layers, question) := union({asked_sizes(layers, question), asked_services(layers, question)})

asked_sizes(layers, question) := {violation |
	some spec in size_specs
	asked := question.request[spec.member]
	most := least(layers, spec.path, spec)
	asked > most
	violation := exceeds(spec.rule, most, asked)
}

asked_services(layers, question) := {violation |
	asked := count(question.request.services)
	most := least(layers, ["services", "max"], {"form": "quantity", "builtin": 16})
	asked > most
	violation := exceeds("services.max", most, asked)
}

# A maximum with a default beside it: the first document may go past the built-in one, and a default of its own that is above
# says that this much is meant.
longest(layers, path, spec) := min(array.concat([first], said(array.slice(layers, 1, count(layers)), array.concat(path, ["max"]), spec.form))) if {
	first := first_longest(layers[0], path, spec)
}

first_longest(document, path, spec) := amount(spec.form, value) if {
	value := object.get(document, array.concat(path, ["max"]), null)
	value != null
} else := max([spec.max, amount(spec.form, value)]) if {
	value := object.get(document, array.concat(path, ["default"]), null)
	value != null
} else := spec.max

# A number that stands alone.
least(layers, path, spec) := min(array.concat([first], said(array.slice(layers, 1, count(layers)), path, spec.form))) if {
	first := first_least(layers[0], path, spec)
}

first_least(document, path, spec) := amount(spec.form, value) if {
	value := object.get(document, path, null)
	value != null
} else := spec.builtin

said(layers, path, form) := [amount(form, value) |
	some layer in layers
	value := object.get(layer, path, null)
	value != null
]

# Bytes and counts, milliseconds, thousandths of a core.
units := {
	"quantity": {
		"": 1, "k": 1000, "M": 1000000, "G": 1000000000,
		"Ki": 1024, "Mi": MiB, "Gi": 1024 * MiB, "Ti": 1048576 * MiB,
	},
	"duration": {"ms": 1, "s": 1000, "m": 60000, "h": hour},
	"cpu": {"m": 1, "": 1000},
}

amount("quantity", value) := value if is_number(value)

# Rounded down, but for what binary fractions lose.
amount(form, value) := floor((value * 1000) + 0.000001) if {
	is_number(value)
	form in {"duration", "cpu"}
}

# In whole thousandths: nothing is lost.
amount(form, value) := (thousandths * units[form][unit]) / 1000 if {
	is_string(value)
	[_, whole, _, fraction, unit] := regex.find_all_string_submatch_n(`^([0-9]+)(\.([0-9]+))?([A-Za-z]*)$`, value, 1)[0]
	thousandths := (to_number(whole) * 1000) + to_number(substring(concat("", [fraction, "000"]), 0, 3))
}

# --- isolation ---

tiers := {"process": 1, "gvisor": 2}

isolation(layers, question) := {violation |
	question.kind in {"job", "session"}
	asked := tiers[question.request.isolation]
	minimum := max(array.concat([0], [tier |
		some layer in layers
		tier := tiers[object.get(layer, ["isolation", "minimum"], "")]
	]))
	asked < minimum
	violation := {
		"rule": "isolation.minimum", "limit": [name | some name, tier in tiers; tier == minimum][0],
		"observed": question.request.isolation, "hint": "ask for a stronger tier",
	}
}

# --- lists ---

# The lists of all documents that have one. What the first does not open, no other does, unless it is open to begin with.
lists(layers, path) := [list |
	some layer in layers
	list := object.get(layer, path, null)
	list != null
] if {
	object.get(layers[0], path, null) != null
} else := [list |
	some layer in layers
	list := object.get(layer, path, null)
	list != null
] if {
	path[0] in {"languages", "templates", "tools"}
} else := [[]]

refused(rule, asked) := {"rule": rule, "limit": null, "observed": asked, "hint": "use one that the policy lists"}

names(layers, question) := {violation |
	some rule, name in {
		"languages": language(question.request.language), "templates": question.request.template,
		"tools": question.tool,
	}
	name != ""
	some list in lists(layers, [rule])
	not name in {language_in(rule, entry) | some entry in list}
	violation := refused(rule, name)
}

aliases := {"node": "javascript", "js": "javascript", "python3": "python", "py": "python", "shell": "bash", "sh": "bash"}

language(name) := object.get(aliases, name, name)

language_in("languages", name) := language(name)

language_in(rule, name) := name if rule != "languages"

entry_specs := {
	"dependencies.pip": {"path": ["dependencies", "pip"], "asked": ["dependencies", "pip"]},
	"dependencies.npm": {"path": ["dependencies", "npm"], "asked": ["dependencies", "npm"]},
	"egress": {"path": ["egress"], "asked": ["egress"]},
	"secrets": {"path": ["secrets"], "asked": ["secrets"]},
	"services": {"path": ["services", "ports"], "asked": ["services"]},
}

entries(layers, question) := {violation |
	some rule, spec in entry_specs
	bad := [item |
		some item in object.get(question.request, spec.asked, [])
		some list in lists(layers, spec.path)
		not allows(rule, list, item)
	]
	count(bad) > 0
	violation := refused(rule, bad)
}

allows(rule, list, item) if {
	some entry in list
	entry_allows(rule, entry, item)
}

entry_allows("secrets", entry, item) if entry == item

entry_allows("services", entry, item) if entry == item

entry_allows("services", entry, item) if {
	is_string(entry)
	[low, high] := split(entry, "-")
	item >= to_number(low)
	item <= to_number(high)
}

entry_allows("egress", entry, item) if {
	[host, port] := split(lower(item), ":")
	parts := split(lower(entry), ":")
	array.concat(parts, [port])[1] == port # an entry without one is for any
	host_allows(parts[0], host)
}

host_allows("*", _)

host_allows(entry, host) if entry == host

host_allows(entry, host) if {
	startswith(entry, "*.")
	endswith(host, substring(entry, 1, -1))
	count(host) > count(entry) - 1
}

# --- packages ---

entry_allows(rule, entry, item) if {
	rule in {"dependencies.pip", "dependencies.npm"}
	is_string(entry)
	package_allows(rule, entry, package_asked(rule, item).name)
}

entry_allows(rule, entry, item) if {
	rule in {"dependencies.pip", "dependencies.npm"}
	is_object(entry)
	asked := package_asked(rule, item)
	package_allows(rule, entry.name, asked.name)
	asked.version != null
	every bound in split(entry.versions, ",") {
		bound_holds(bound, asked.version)
	}
}

package_allows(_, "*", _)

package_allows(rule, entry, name) if package_name(rule, entry) == name

package_allows("dependencies.npm", entry, name) if {
	endswith(entry, "/*")
	startswith(name, trim_suffix(entry, "*"))
}

# As PyPI compares them.
package_name("dependencies.pip", name) := lower(regex.replace(name, `[._-]+`, "-"))

package_name("dependencies.npm", name) := name

package_asked("dependencies.pip", item) := {"name": package_name("dependencies.pip", written), "version": pinned(`^==[0-9]{1,9}(\.[0-9]{1,9}){0,5}$`, rest, 2)} if {
	written := regex.find_n(`^[A-Za-z0-9._-]+`, item, 1)[0]
	rest := substring(item, count(written), -1)
}

package_asked("dependencies.npm", item) := {"name": written, "version": pinned(`^@[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}$`, rest, 1)} if {
	written := regex.find_n(`^(@[^@/]+/)?[^@/]+`, item, 1)[0]
	rest := substring(item, count(written), -1)
}

pinned(form, text, skip) := version(substring(text, skip, -1)) if regex.match(form, text)

else := null

# Six numbers: what is not there is zero.
version(text) := array.slice(array.concat([to_number(part) | some part in split(text, ".")], [0, 0, 0, 0, 0, 0]), 0, 6)

bound_holds(bound, asked) if {
	[_, op, text] := regex.find_all_string_submatch_n(`^(==|!=|>=|<=|>|<)(.*)$`, bound, 1)[0]
	compares(op, asked, version(text))
}

compares("==", a, b) if a == b

compares("!=", a, b) if a != b

compares(">=", a, b) if a >= b

compares("<=", a, b) if a <= b

compares(">", a, b) if a > b

compares("<", a, b) if a < b
