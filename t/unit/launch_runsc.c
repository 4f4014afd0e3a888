/* How runsc is called: no flag it does not know, none left out that must be, and what the bundle promises. */
#include "executor/launcher/runsc.h"

#include "executor/launcher/bundle.h"
#include "lib/sbx_json.h"
#include "t/unit/tap.h"

static const char *const needed[] = { "root", "network", "ignore-cgroups", "file-access", "platform" };
static const char *const others[] = { "file-access-mounts", "log",      "overlay2", "host-uds",
                                      "host-fifo",          "directfs", "net-raw" };

/* What `runsc flags` prints with all but `without`. */
static void
flags_print(struct sbx_buf *text, const char *without, bool with_others)
{
    sbx_buf_reset(text);
    sbx_buf_puts(text, "Usage: flags\n");
    for (size_t i = 0; i < SBX_COUNT(needed) + (with_others ? SBX_COUNT(others) : 0); i++) {
        const char *flag = i < SBX_COUNT(needed) ? needed[i] : others[i - SBX_COUNT(needed)];

        if (without == NULL || strcmp(flag, without) != 0) {
            sbx_buf_puts(text, "  -");
            sbx_buf_puts(text, flag);
            sbx_buf_puts(text, " string\n    \tsets -that and --this\n");
        }
    }
    sbx_buf_putc(text, '\0');
}

static bool
has(const struct runsc *runsc, const char *argument)
{
    for (unsigned i = 0; runsc->argv[i] != NULL; i++) {
        if (strcmp(runsc->argv[i], argument) == 0) {
            return true;
        }
    }
    return false;
}

static void
test_knows(void)
{
    static const char text[] =
        "  -root string\n    \tif -rootless, --network\n  -debug\n    \t-log\n  -cpu-num int\n";

    ok(runsc_knows(text, "root"), "a flag with a value");
    ok(runsc_knows(text, "debug"), "one without");
    ok(!runsc_knows(text, "roo"), "not the beginning of one");
    ok(!runsc_knows(text, "rootless"), "nor what a description names");
    ok(!runsc_knows(text, "network"), "nor that");
    ok(!runsc_knows(text, "log"), "nor that");
    ok(!runsc_knows(text, "cpu"), "nor the part before a hyphen");
    ok(!runsc_knows("", "root"), "no text, no flag");
    ok(!runsc_knows("  -", "root"), "one that is cut");
    ok(!runsc_knows("  -root", "root"), "or ends with its name, as no help does");
}

static void
test_arguments(void)
{
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(8192);
    struct runsc runsc = RUNSC_NULL;

    for (size_t i = 0; i < SBX_COUNT(needed); i++) {
        flags_print(&text, needed[i], true);
        is_int(runsc_arguments(&runsc, text.data), -ENOTSUP, "not without --%s", needed[i]);
    }
    for (size_t i = 0; i < SBX_COUNT(others); i++) {
        char flag[48];

        flags_print(&text, others[i], true);
        is_int(runsc_arguments(&runsc, text.data), 0, "well without --%s", others[i]);
        runsc_set_platform(&runsc, SETTINGS_PLATFORM_PTRACE);
        (void)snprintf(flag, sizeof(flag), "--%s=", others[i]);
        for (unsigned k = 0; runsc.argv[k] != NULL; k++) {
            ok(strncmp(runsc.argv[k], flag, strlen(flag)) != 0, "which is not given then");
        }
    }
    flags_print(&text, NULL, true);
    is_int(runsc_arguments(&runsc, text.data), 0, "a build that knows all");
    runsc_set_platform(&runsc, SETTINGS_PLATFORM_SYSTRAP);
    ok(has(&runsc, "--network=none") && has(&runsc, "--ignore-cgroups=true") && has(&runsc, "--root=/run"),
       "what must be");
    ok(has(&runsc, "--host-uds=none") && has(&runsc, "--host-fifo=none") && has(&runsc, "--directfs=false") &&
           has(&runsc, "--overlay2=none") && has(&runsc, "--net-raw=false"),
       "nothing of the host");
    ok(has(&runsc, "--platform=systrap") && !has(&runsc, "--platform=ptrace"), "the platform");
    runsc_set_platform(&runsc, SETTINGS_PLATFORM_PTRACE);
    ok(has(&runsc, "--platform=ptrace") && !has(&runsc, "--platform=systrap"), "another one in its place");
    is_str(runsc.argv[0], "runsc", "begins with its name");
    flags_print(&text, NULL, false);
    is_int(runsc_arguments(&runsc, text.data), 0, "an old build");
    runsc_set_platform(&runsc, SETTINGS_PLATFORM_PTRACE);
    ok(!has(&runsc, "--host-uds=none") && has(&runsc, "--network=none"), "gets what it knows");
}

static json_t *
bundle(bool workspace_exec)
{
    static const char *const args[] = { "/a", "--b", NULL };
    _cleanup_(sbx_buf_deinit) struct sbx_buf text = SBX_BUF_INIT(16384);
    struct sbx_field_error err;
    json_t *json = NULL;

    bundle_write(&text, args, workspace_exec);
    return text.failed || sbx_json_parse(&json, text.data, text.len, &err) != 0 ? NULL : json;
}

static bool
mount_has(const json_t *json, const char *to, const char *option)
{
    const json_t *mount, *each;
    size_t i, k;

    json_array_foreach (json_object_get(json, "mounts"), i, mount) {
        if (strcmp(json_string_value(json_object_get(mount, "destination")), to) == 0) {
            json_array_foreach (json_object_get(mount, "options"), k, each) {
                if (strcmp(json_string_value(each), option) == 0) {
                    return true;
                }
            }
        }
    }
    return false;
}

static void
test_bundle(void)
{
    static const char *const disk[] = { "/workspace", "/tmp", "/run/sandbox" };
    static const char *const args[] = { "/a", NULL };
    static const char *const sets[] = { "bounding", "effective", "permitted" };
    /* The agent's of the process tier, and the last one until it has stripped its root. */
    static const char *const held[] = { "CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_SETPCAP",
                                        "CAP_SYS_ADMIN" };
    struct sbx_buf small = SBX_BUF_INIT(200);
    json_t *json = bundle(true), *strict = bundle(false), *process, *caps;

    if (json == NULL || strict == NULL) {
        ok(false, "bundles");
        return;
    }
    process = json_object_get(json, "process");
    caps = json_object_get(process, "capabilities");
    ok(json_is_true(json_object_get(json_object_get(json, "root"), "readonly")), "the root is read-only");
    ok(json_is_true(json_object_get(process, "noNewPrivileges")), "no new privileges");
    ok(!json_is_true(json_object_get(process, "terminal")), "no terminal");
    for (size_t i = 0; i < SBX_COUNT(sets); i++) {
        const json_t *set = json_object_get(caps, sets[i]);

        is_uint(json_array_size(set), SBX_COUNT(held), "as many capabilities as must be: %s", sets[i]);
        for (size_t k = 0; k < SBX_COUNT(held); k++) {
            is_str(json_string_value(json_array_get(set, k)), held[k], "this one");
        }
    }
    ok(json_object_get(caps, "inheritable") == NULL && json_object_get(caps, "ambient") == NULL,
       "none is handed on");
    for (size_t i = 0; i < SBX_COUNT(disk); i++) {
        ok(mount_has(json, disk[i], "exec") && !mount_has(json, disk[i], "noexec"), "%s: programs", disk[i]);
        ok(mount_has(strict, disk[i], "noexec") && !mount_has(strict, disk[i], "exec"),
           "%s: none where the template says so", disk[i]);
        ok(mount_has(json, disk[i], "nosuid") && mount_has(json, disk[i], "nodev"), "%s: no more than that",
           disk[i]);
    }
    ok(mount_has(json, "/proc", "noexec") && mount_has(json, "/dev", "noexec") &&
           mount_has(json, "/dev/shm", "noexec"),
       "none in other places");
    bundle_write(&small, args, true);
    ok(small.failed, "what does not fit is not half written");
    sbx_buf_deinit(&small);
    json_decref(json);
    json_decref(strict);
}

int
main(void)
{
    test_knows();
    test_arguments();
    test_bundle();
    return done_testing();
}
