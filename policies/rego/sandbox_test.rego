package sandbox_test

import rego.v1

request := {
	"language": "python", "template": "default", "isolation": "",
	"limits": {"cpu_millicores": 0, "cpu_time_ms": 0, "memory_bytes": 0, "disk_bytes": 0, "processes": 0, "time_ms": 0, "output_bytes": 0},
	"session": {"ttl_ms": 0, "idle_timeout_ms": 0, "step_timeout_ms": 0, "cpu_time_ms": 0},
	"env_count": 0, "files_count": 0, "files_bytes": 0, "artifacts_count": 0, "wait_ms": 0,
	"dependencies": {"pip": [], "npm": []}, "egress": [], "secrets": [], "services": [],
}

job(more) := {"kind": "job", "tenant": "acme", "app": "web", "agent": "coder", "tool": "", "request": object.union(request, more)}

rules(layers, more) := {violation.rule | some violation in data.sandbox.answer(layers, job(more)).violations}

test_builtin_floor if {
	rules([{"version": 1}], {}) == set()
	rules([{"version": 1}], {"limits": {"memory_bytes": 1073741824}}) == set()
	rules([{"version": 1}], {"limits": {"memory_bytes": 1073741825}}) == {"limits.memory"}
	rules([{"version": 1}], {"secrets": ["TOKEN"], "egress": ["a.example:443"], "services": [80]}) == {"secrets", "egress", "services"}
}

test_first_document_alone_goes_past_the_builtin_maximum if {
	wide := {"version": 1, "limits": {"memory": {"max": "4Gi"}}}
	rules([wide], {"limits": {"memory_bytes": 4294967296}}) == set()
	rules([{"version": 1}, wide], {"limits": {"memory_bytes": 4294967296}}) == {"limits.memory"}
	rules([{"version": 1, "limits": {"memory": {"default": "2Gi"}}}], {"limits": {"memory_bytes": 2147483648}}) == set()
}

test_quantities if {
	rules([{"version": 1, "limits": {"memory": {"max": "1.5Mi"}}}], {"limits": {"memory_bytes": 1572865}}) == {"limits.memory"}
	rules([{"version": 1, "limits": {"memory": {"max": "1.5Mi"}}}], {"limits": {"memory_bytes": 1572864}}) == set()
	rules([{"version": 1, "limits": {"cpu": {"max": "0.5"}}}], {"limits": {"cpu_millicores": 501}}) == {"limits.cpu"}
	rules([{"version": 1, "limits": {"time": {"max": 1.25}}}], {"limits": {"time_ms": 1251}}) == {"limits.time"}
	rules([{"version": 1, "limits": {"time": {"max": 1.25}}}], {"limits": {"time_ms": 1250}}) == set()
}

test_lists_intersect if {
	rules([{"version": 1, "languages": ["node", "python"]}, {"version": 1, "languages": ["javascript"]}], {"language": "javascript"}) == set()
	rules([{"version": 1, "languages": ["node", "python"]}, {"version": 1, "languages": ["javascript"]}], {"language": "python"}) == {"languages"}
	rules([{"version": 1}, {"version": 1, "languages": []}], {}) == {"languages"}
}

test_nothing_opens_what_the_first_does_not_list if {
	rules([{"version": 1}, {"version": 1, "egress": ["*"]}], {"egress": ["a.example:443"]}) == {"egress"}
	rules([{"version": 1, "egress": ["*"]}, {"version": 1, "egress": ["*.example:443"]}], {"egress": ["a.example:443"]}) == set()
	rules([{"version": 1, "egress": ["*"]}, {"version": 1, "egress": ["*.example:443"]}], {"egress": ["a.example:80", "example:443"]}) == {"egress"}
}

test_packages if {
	pip := {"version": 1, "dependencies": {"pip": ["Typing_Extensions", {"name": "numpy", "versions": ">=1.20,<2"}]}}
	rules([pip], {"dependencies": {"pip": ["typing-extensions>=4", "numpy==1.26.4"], "npm": []}}) == set()
	rules([pip], {"dependencies": {"pip": ["numpy"], "npm": []}}) == {"dependencies.pip"}
	rules([pip], {"dependencies": {"pip": ["numpy==2"], "npm": []}}) == {"dependencies.pip"}
	rules([pip], {"dependencies": {"pip": ["numpy===1.26.4"], "npm": []}}) == {"dependencies.pip"}
	npm := {"version": 1, "dependencies": {"npm": ["@scope/*", {"name": "lodash", "versions": "==4.17.21"}]}}
	rules([npm], {"dependencies": {"pip": [], "npm": ["@scope/name@^1", "lodash@4.17.21"]}}) == set()
	rules([npm], {"dependencies": {"pip": [], "npm": ["@other/name"]}}) == {"dependencies.npm"}
	rules([npm], {"dependencies": {"pip": [], "npm": ["lodash@4.17"]}}) == {"dependencies.npm"}
}

test_isolation if {
	strict := {"version": 1, "isolation": {"minimum": "gvisor"}}
	rules([{"version": 1}, strict], {"isolation": "process"}) == {"isolation.minimum"}
	rules([{"version": 1}, strict], {"isolation": "gvisor"}) == set()
	rules([{"version": 1}, strict], {"isolation": ""}) == set()
}

test_too_many_documents if {
	layer := {"version": 1}
	rules([layer | some _ in numbers.range(1, 25)], {}) == set()
	rules([layer | some _ in numbers.range(1, 26)], {}) == {"policies.max"}
}

policies := {
	"default": {"version": 1, "languages": ["python", "bash"]},
	"tenants": {"acme": {
		"documents": [{"version": 1, "limits": {"time": {"max": "20s"}}}],
		"apps": {"web": [{"version": 1, "env": {"max": 1}}]},
		"agents": {"coder": [{"version": 1, "languages": ["python"]}]},
		"templates": {"default": [{"version": 1, "files": {"max": 0}}]},
	}},
}

decided(more) := {violation.rule | some violation in found} if {
	found := data.sandbox.decision.violations with input as job(more) with data.policies as policies
}

test_documents_by_who_asks if {
	decided({}) == set()
	decided({"language": "bash", "env_count": 2, "files_count": 1, "limits": {"time_ms": 20001}}) == {"languages", "env.max", "files.max", "limits.time"}
	decided({"template": "other", "files_count": 1}) == set()
	data.sandbox.decision == {"allow": true, "violations": []} with input as object.union(job({"language": "bash"}), {"tenant": "other"})
		with data.policies as policies
	data.sandbox.decision.allow with input as job({}) with data.policies as {}
}
