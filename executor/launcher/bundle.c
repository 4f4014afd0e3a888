#include "executor/launcher/bundle.h"

#include "lib/sbx_jsonw.h"
#include "lib/sbx_wall.h"

static void
strings_write(struct sbx_jsonw *w, const char *key, const char *const *items, size_t n)
{
    sbx_jsonw_array(w, key);
    for (size_t i = 0; i < n; i++) {
        sbx_jsonw_str(w, NULL, items[i]);
    }
    sbx_jsonw_array_end(w);
}

/* What the process tier's child sets on itself (ns.c); the sentry is the kernel that holds these. */
static void
rlimits_write(struct sbx_jsonw *w)
{
    static const struct {
        const char *type;
        uint64_t value;
    } limits[] = {
        { "RLIMIT_NOFILE", 4096 }, { "RLIMIT_CORE", 0 },         { "RLIMIT_MEMLOCK", 8u << 20 },
        { "RLIMIT_MSGQUEUE", 0 },  { "RLIMIT_SIGPENDING", 256 }, { "RLIMIT_NICE", 0 },
        { "RLIMIT_RTPRIO", 0 },    { "RLIMIT_STACK", 8u << 20 },
    };

    sbx_jsonw_array(w, "rlimits");
    for (size_t i = 0; i < SBX_COUNT(limits) && !sbx_wall_is_off(SBX_WALL_RLIMITS); i++) {
        sbx_jsonw_object(w, NULL);
        sbx_jsonw_str(w, "type", limits[i].type);
        sbx_jsonw_uint(w, "hard", limits[i].value);
        sbx_jsonw_uint(w, "soft", limits[i].value);
        sbx_jsonw_object_end(w);
    }
    sbx_jsonw_array_end(w);
}

static void
process_write(struct sbx_jsonw *w, const char *const *agent_args)
{
    static const char *const env[] = { "PATH=/usr/local/bin:/usr/bin:/bin" };
    /* Of the sentry's making, all of them; CAP_SYS_ADMIN the agent uses to strip the root, and gives up. */
    static const char *const caps[] = { "CAP_SETUID", "CAP_SETGID", "CAP_KILL", "CAP_SETPCAP",
                                        "CAP_SYS_ADMIN" };
    static const char *const sets[] = { "bounding", "effective", "permitted" };

    sbx_jsonw_object(w, "process");
    sbx_jsonw_bool(w, "terminal", false);
    sbx_jsonw_object(w, "user");
    sbx_jsonw_uint(w, "uid", 0);
    sbx_jsonw_uint(w, "gid", 0);
    sbx_jsonw_object_end(w);
    sbx_jsonw_array(w, "args");
    for (size_t i = 0; agent_args[i] != NULL; i++) {
        sbx_jsonw_str(w, NULL, agent_args[i]);
    }
    sbx_jsonw_array_end(w);
    strings_write(w, "env", env, SBX_COUNT(env));
    sbx_jsonw_str(w, "cwd", "/");
    sbx_jsonw_object(w, "capabilities");
    for (size_t i = 0; i < SBX_COUNT(sets); i++) {
        strings_write(w, sets[i], caps, SBX_COUNT(caps));
    }
    sbx_jsonw_object_end(w);
    rlimits_write(w);
    sbx_jsonw_bool(w, "noNewPrivileges", !sbx_wall_is_off(SBX_WALL_NO_NEW_PRIVS));
    sbx_jsonw_object_end(w);
}

static void
mount_write(struct sbx_jsonw *w, const char *to, const char *type, const char *from, const char *execute)
{
    const char *const options[] = { "rw", "nosuid", "nodev", execute };

    sbx_jsonw_object(w, NULL);
    sbx_jsonw_str(w, "destination", to);
    sbx_jsonw_str(w, "type", type);
    sbx_jsonw_str(w, "source", from);
    strings_write(w, "options", options, SBX_COUNT(options));
    sbx_jsonw_object_end(w);
}

static void
mounts_write(struct sbx_jsonw *w, const char *execute)
{
    sbx_jsonw_array(w, "mounts");
    mount_write(w, "/proc", "proc", "proc", "noexec");
    mount_write(w, "/dev", "tmpfs", "tmpfs", "noexec");
    mount_write(w, "/sys", "tmpfs", "tmpfs", "noexec"); /* else gVisor mounts a sysfs */
    mount_write(w, "/workspace", "bind", BUNDLE_DISK "/workspace", execute);
    mount_write(w, "/tmp", "bind", BUNDLE_DISK "/tmp", execute);
    /* The sentry's own, which the control group counts as memory: the gofer's takes the two names that sem_open()
     * gives a semaphore for two files, and who waits at one is not woken by the other. */
    mount_write(w, "/dev/shm", "tmpfs", "tmpfs", "noexec");
    mount_write(w, "/run/sandbox", "bind", BUNDLE_DISK "/run", execute);
    sbx_jsonw_array_end(w);
}

void
bundle_write(struct sbx_buf *buf, const char *const *agent_args, bool workspace_exec)
{
    static const char *const namespaces[] = { "pid", "ipc", "uts", "mount", "network" };
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, buf);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_str(&w, "ociVersion", "1.0.0");
    process_write(&w, agent_args);
    sbx_jsonw_object(&w, "root");
    sbx_jsonw_str(&w, "path", "rootfs");
    sbx_jsonw_bool(&w, "readonly", !sbx_wall_is_off(SBX_WALL_READ_ONLY_ROOT));
    sbx_jsonw_object_end(&w);
    sbx_jsonw_str(&w, "hostname", "sandbox");
    mounts_write(&w, workspace_exec ? "exec" : "noexec");
    sbx_jsonw_object(&w, "linux");
    sbx_jsonw_array(&w, "namespaces");
    for (size_t i = 0; i < SBX_COUNT(namespaces); i++) {
        sbx_jsonw_object(&w, NULL);
        sbx_jsonw_str(&w, "type", namespaces[i]);
        sbx_jsonw_object_end(&w);
    }
    sbx_jsonw_array_end(&w);
    sbx_jsonw_object_end(&w);
    sbx_jsonw_object_end(&w);
}
