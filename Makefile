# Builds, runs and tests ngx_sandbox. `make help` lists the targets.
# VARIANT=release (default) | asan: every object, nginx included, with ASan and UBSan | mutant: see below.

VARIANT ?= release
OUT := build/$(VARIANT)
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PKGS := libuv jansson yajl libcrypto sqlite3 libseccomp

WARN := -Wall -Wextra -Wformat=2 -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
        -Wconversion -Wsign-conversion -Wundef -Wimplicit-fallthrough -Wcast-qual -Wpointer-arith -Werror
# Hardening flags follow the OpenSSF compiler options guide.
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection=full \
          -fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing
ifeq ($(VARIANT),asan)
CC := clang
OPT := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
# Without the -fno- options above: what they define, UBSan no longer reports.
HARDEN := -fstack-protector-strong
STATIC :=
AGENT_LIBS := -luv -lhttp_parser -ljansson -lyajl -lcrypto -lpthread
AGENT_EXTRA := $(OUT)/obj/t/asan/inside.o
else
ifeq ($(VARIANT),mutant)
# Launcher and agent that can leave walls out, for t/launcher/mutants and t/launcher/walls.t. Never installed, never started by anything else.
CPPFLAGS_VARIANT := -DSANDBOX_MUTANT
endif
CC ?= gcc
# clang before 16 refuses it.
AUTO_INIT := $(shell $(CC) -ftrivial-auto-var-init=zero -fsyntax-only -x c /dev/null 2>/dev/null && echo -ftrivial-auto-var-init=zero)
OPT := -O2 -g -D_FORTIFY_SOURCE=3 $(AUTO_INIT)
STATIC := -static
# What the agent does not use of its libraries is left out: each page of it would be mapped by a fault, and unmapped again, of every sandbox.
SECTIONS := -ffunction-sections -fdata-sections
AGENT_LIBS := -l:libuv_a.a -l:libhttp_parser.a -l:libjansson.a -l:libyajl_s.a -l:libcrypto.a -lpthread -ldl
endif

CPPFLAGS := -std=gnu11 -D_GNU_SOURCE -I. -I$(OUT)/gen $(CPPFLAGS_VARIANT)
CFLAGS := $(OPT) $(WARN) $(HARDEN) $(SECTIONS) -fPIE
LDFLAGS := -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed
LIBS := -luv -lhttp_parser -ljansson -lyajl -lcrypto -lsqlite3 -lwslay -lpthread

objs = $(patsubst %.c,$(OUT)/obj/%.o,$(wildcard $(1)))
LIB_OBJS := $(call objs,lib/*.c)
EXEC_OBJS := $(filter-out $(OUT)/obj/executor/main.o,$(call objs,executor/*.c executor/api/*.c executor/core/*.c \
             executor/runtime/*.c executor/store/*.c executor/net/*.c)) $(OUT)/gen/migrations.o
LAUNCH_OBJS := $(filter-out $(OUT)/obj/executor/launcher/main.o,$(call objs,executor/launcher/*.c))
AGENT_OBJS := $(filter-out $(OUT)/obj/session-agent/main.o,$(call objs,session-agent/*.c))
UNIT := $(patsubst t/unit/%.c,$(OUT)/t/unit/%,$(wildcard t/unit/*.c))
TOOLS := $(patsubst t/launcher/%.c,$(OUT)/t/launcher/%,$(wildcard t/launcher/*.c)) \
         $(patsubst t/bench/%.c,$(OUT)/t/bench/%,$(wildcard t/bench/*.c)) \
         $(patsubst t/tool/%.c,$(OUT)/t/tool/%,$(wildcard t/tool/*.c))
FUZZ := $(patsubst t/fuzz/%.c,build/fuzz/%,$(wildcard t/fuzz/*.c))
MODULE := $(OUT)/ngx_http_sandbox_module.so
DAEMONS := $(OUT)/executord $(OUT)/sandbox-launch $(OUT)/session-agent
STAMP := build/.deps

.PHONY: help run stop build daemons mutant module test test-extra unit lint format bench fuzz deps clean

help:
	@echo 'make run         install what is missing, build, start on 127.0.0.1:8080, run a first job'
	@echo 'make stop        stop it and leave nothing behind'
	@echo 'make build       build everything into build/$$VARIANT (release, asan)'
	@echo 'make test        build, then run the whole suite against real components (VARIANT=asan: sanitized)'
	@echo 'make test-extra  tests against components from PyPI and the Go modules'
	@echo 'make lint        layering, banned calls, function length, docs against code, static analysis'
	@echo 'make format      clang-format the tree'
	@echo 'make bench       benchmarks of ours and of peers in one run (BENCH=--help: of what; PROFILE=1: where the time goes, too)'
	@echo 'make fuzz        each fuzz target for FUZZ_SECONDS (default 20)'
	@echo 'make clean       remove build/'

deps: $(STAMP)
$(STAMP): conf/local/deps.sh
	@bash conf/local/deps.sh build
	@mkdir -p build && touch $@
$(STAMP)-test: conf/local/deps.sh
	@bash conf/local/deps.sh test
	@mkdir -p build && touch $@ $(STAMP)

# What t/mcp runs.
$(STAMP)-npm: t/mcp/install t/mcp/package.json t/mcp/package-lock.json $(STAMP)-test
	@t/mcp/install
	@touch $@

build: daemons module $(OUT)/pycache/done
daemons: $(STAMP)
	@$(MAKE) -s --no-print-directory -j2 $(DAEMONS)
mutant: $(STAMP)
	@$(MAKE) -s --no-print-directory -j2 VARIANT=mutant build/mutant/sandbox-launch build/mutant/session-agent
module: $(STAMP)
	@$(MAKE) -s --no-print-directory $(MODULE)

$(OUT)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(OUT)/gen/migrations.c: executor/store/migrations/embed.awk $(wildcard executor/store/migrations/*.sql)
	@mkdir -p $(@D)
	@awk -f $< $(sort $(filter %.sql,$^)) > $@.tmp && mv $@.tmp $@

$(OUT)/gen/%.o: $(OUT)/gen/%.c
	@$(CC) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

# A library as the bytes that session-agent/$(1).h declares as $(2).
embed = @(echo '\#include "session-agent/$(1).h"'; echo 'const unsigned char $(2)[] = {'; od -An -v -tu1 $< | sed 's/[0-9][0-9]*/&,/g'; \
	  echo '};'; echo 'const size_t $(2)_len = sizeof($(2));') > $@.tmp && mv $@.tmp $@

# For programs of any template: of the C library's functions it uses what each has. The agent carries it along.
$(OUT)/gen/statx.so: session-agent/preload/statx.c
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) -std=gnu11 -D_GNU_SOURCE -O2 $(WARN) -fPIC -fvisibility=hidden -shared -nostdlib -s -Wl,-z,noexecstack,-z,relro $< -o $@
$(OUT)/gen/preload.c: $(OUT)/gen/statx.so
	$(call embed,nested,nested_preload)
# The same for zygotes' interpreters; with the agent's own privilege drops.
FORK_SRCS := session-agent/preload/fork.c session-agent/preload/huge.c session-agent/preload/prefault.c session-agent/confine.c session-agent/landlock.c lib/sbx_wall.c
$(OUT)/gen/fork.so: $(FORK_SRCS) $(wildcard session-agent/*.h session-agent/preload/*.h) lib/sbx_zygote.h lib/sbx_wall.h lib/sbx_base.h
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) $(CPPFLAGS) -O2 $(WARN) -fPIC -fvisibility=hidden -fno-stack-protector -shared -nostdlib -s \
	  -Wl,-z,noexecstack,-z,relro,-z,now,--gc-sections -ffunction-sections -fdata-sections $(FORK_SRCS) -o $@
$(OUT)/gen/fork.c: $(OUT)/gen/fork.so
	$(call embed,zygote,zygote_library)

archive = @rm -f $@ && ar rcsP $@ $^
$(OUT)/libsbx.a: $(LIB_OBJS)
	$(archive)
$(OUT)/libexecutor.a: $(EXEC_OBJS)
	$(archive)
$(OUT)/liblaunch.a: $(LAUNCH_OBJS)
	$(archive)
$(OUT)/libagent.a: $(AGENT_OBJS) $(OUT)/gen/preload.o $(OUT)/gen/fork.o
	$(archive)

$(OUT)/executord: $(OUT)/obj/executor/main.o $(OUT)/libexecutor.a $(OUT)/libsbx.a
	@echo '  LINK  $@'
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@
$(OUT)/sandbox-launch: $(OUT)/obj/executor/launcher/main.o $(OUT)/liblaunch.a $(OUT)/libsbx.a
	@echo '  LINK  $@'
	@$(CC) $(CFLAGS) $(LDFLAGS) $^ -lseccomp -o $@
# -static: the sandbox has no libraries the agent could trust. Linker warnings are about getaddrinfo, unused here.
$(OUT)/session-agent: $(OUT)/obj/session-agent/main.o $(AGENT_EXTRA) $(OUT)/libagent.a $(OUT)/libsbx.a
	@echo '  LINK  $@'
	@$(CC) $(CFLAGS) $(if $(STATIC),$(STATIC) -Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now$(comma)--gc-sections,$(LDFLAGS)) $^ $(AGENT_LIBS) -o $@ \
	  2> >(grep -vE 'statically linked applications requires|in function .(uv_|BIO_|bio_|dlfcn_|dso)' >&2)
comma := ,

# Compiled drivers of sessions' Python. Each carries the hash of its source: one that does not fit is not used.
$(OUT)/pycache/done: $(wildcard session-agent/drivers/*.py) $(STAMP)
	@echo '  PYC   $(@D)'
	@rm -rf $(@D) && mkdir -p $(@D) && cp session-agent/drivers/*.py $(@D)/
	@/usr/bin/python3 -m compileall -q --invalidation-mode checked-hash $(@D)
	@mv $(@D)/__pycache__/* $(@D)/ && rm -r $(@D)/__pycache__ $(@D)/*.py && touch $@

MODULE_SRCS := $(wildcard ngx_sandbox_module/*.[ch] lib/*.[ch]) config ngx_sandbox_module/build.sh t/asan/nginx.c
$(MODULE): $(MODULE_SRCS)
	@echo '  NGINX $@'
	@bash ngx_sandbox_module/build.sh $(OUT) $(VARIANT)

$(OUT)/t/unit/%: t/unit/%.c $(OUT)/libexecutor.a $(OUT)/liblaunch.a $(OUT)/libagent.a $(OUT)/libedge.a $(OUT)/libsbx.a
	@mkdir -p $(@D)
	@echo '  UNIT  $<'
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(LDFLAGS) $< $(filter %.a,$^) $(LIBS) -lseccomp -ljwt -o $@
$(OUT)/t/launcher/%: t/launcher/%.c $(OUT)/libsbx.a
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(LDFLAGS) $< $(filter %.a,$^) -lseccomp -o $@
# Pid 1 of a sandbox that has no libraries.
$(OUT)/t/launcher/evil_agent $(OUT)/t/launcher/fake_runsc: $(OUT)/t/launcher/%: t/launcher/%.c
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) -O2 -g $(WARN) -static $< -o $@
$(OUT)/t/tool/%: t/tool/%.c $(OUT)/libsbx.a
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(LDFLAGS) $< $(filter %.a,$^) $(LIBS) -o $@
$(OUT)/t/bench/%: t/bench/%.c $(OUT)/libsbx.a
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(LDFLAGS) $< $(filter %.a,$^) -lm -o $@

$(OUT)/t/bench/policy: t/bench/policy.c $(OUT)/libsbx.a
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(LDFLAGS) $< $(filter %.a,$^) $(LIBS) -o $@

# What is measured is the executor's own store.
$(OUT)/t/bench/blob $(OUT)/t/bench/store: $(OUT)/t/bench/%: t/bench/%.c $(OUT)/libexecutor.a $(OUT)/libsbx.a
	@mkdir -p $(@D)
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP $(LDFLAGS) $< $(filter %.a,$^) $(LIBS) -o $@

# Pure parts of the gateway (ngx_sandbox_<noun>.c that include no nginx header), for unit tests.
EDGE_PURE := $(shell for f in ngx_sandbox_module/ngx_sandbox_*.c; do \
               grep -qs 'ngx_config.h\|ngx_core.h\|ngx_http' $$f $${f%.c}.h || echo $$f; done)
$(OUT)/libedge.a: $(patsubst %.c,$(OUT)/obj/%.o,$(EDGE_PURE))
	$(archive)

unit: $(STAMP)-test
	@$(MAKE) -s --no-print-directory -j2 $(UNIT) $(TOOLS)

test: $(STAMP)-test $(STAMP)-npm build unit
	@perl t/run $(VARIANT)
test-extra: $(STAMP)-test build unit
	@bash t/run-extra $(VARIANT)

lint: $(STAMP)-test
	@perl t/run release t/lint
	@perl t/lint/analyse
format:
	@git ls-files '*.[ch]' | grep -Ev '^ngx_sandbox_module/ngx_(http|sandbox_(policy_store|fetch|control))' | xargs clang-format -i
bench: build unit
	@perl t/bench/run $(BENCH)
ifdef PROFILE
	@perl t/bench/profile --what job
	@perl t/bench/profile --what step
endif

FUZZ_SECONDS ?= 20
FUZZ_FLAGS := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
FUZZ_OBJS := $(patsubst %.c,build/fuzz/%.o,$(wildcard lib/*.c executor/store/*.c session-agent/*.c executor/api/*.c \
             executor/core/*.c executor/net/*.c executor/runtime/*.c executor/*.c executor/launcher/*.c) $(EDGE_PURE)) build/fuzz/migrations.o
build/fuzz/migrations.o: $(OUT)/gen/migrations.c
	@mkdir -p $(@D)
	@clang $(CPPFLAGS) $(FUZZ_FLAGS) -c $< -o $@
build/fuzz/%.o: %.c
	@mkdir -p $(@D)
	@clang $(CPPFLAGS) $(FUZZ_FLAGS) -MMD -MP -c $< -o $@
build/fuzz/all.a: $(filter-out %/main.o,$(FUZZ_OBJS))
	$(archive)
build/fuzz/%: t/fuzz/%.c build/fuzz/all.a
	@echo '  FUZZ  $<'
	@clang $(CPPFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer $^ $(LIBS) -lseccomp -ljwt -o $@
fuzz: $(STAMP)-test
	@$(MAKE) -s --no-print-directory -j2 $(FUZZ)
	@bash t/fuzz/run $(FUZZ_SECONDS)

run: build
	@bash conf/local/run.sh
stop:
	@bash conf/local/stop.sh

clean:
	rm -rf build t/mcp/node_modules

# Not of what Go brings for test-extra.
-include $(shell find build -path build/go -prune -o -type f -name '*.d' -print 2>/dev/null)
