#include "session-agent/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/sbx_wall.h"

const char options_help[] =
    "usage: session-agent [--user UID:GID] [--opt-dir DIR]\n"
    "       session-agent --inside | --nested | --zygote RUNTIME MODULES\n"
    "\n"
    "Runs steps of code for a session and answers HTTP.\n"
    "\n"
    "  --user UID:GID  run the code as this user; required when started as root\n"
    "  --opt-dir DIR   where drivers/ and runtimes.json are (default /opt/sandbox)\n"
    "  --inside        be pid 1 of a sandbox: HTTP on descriptor 3, the code's stdin,\n"
    "                  stdout and stderr on 4, 5 and 6, its seccomp program on 7\n"
    "  --nested        the same within gVisor: HTTP on descriptor 0, stdout and stderr on\n"
    "                  1 and 2, the program in " OPTIONS_NESTED_FILTER "\n"
    "  --zygote RUNTIME MODULES\n"
    "                  become the interpreter that is forked into sandboxes, which imports MODULES;\n"
    "                  the launcher's socket on descriptor 3, the code's seccomp program on 4\n"
    "  --help, --version\n"
    "\n"
    "Environment (not with --inside or --nested):\n"
    "  SESSION_AGENT_ADDR         address to listen on (default 127.0.0.1:9000)\n"
    "  WORKSPACE_ROOT             directory for the sessions' files (default /workspace)\n"
    "  ENV                        dev, development, local or test; anything else is production\n"
    "  SESSION_AGENT_AUTH_BYPASS  1: no X-Session-Token needed; refused in production\n";

static bool refuse(char *why, size_t why_size, const char *fmt, ...) _printf_(3, 4);

static bool
refuse(char *why, size_t why_size, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why, why_size, fmt, args); /* cut when too long */
    va_end(args);
    return false;
}

static bool
parse_id(const char *text, const char **ret_end, unsigned *ret)
{
    char *end;
    unsigned long value;

    if (*text < '0' || *text > '9') {
        return false;
    }
    value = strtoul(text, &end, 10);
    *ret_end = end;
    *ret = (unsigned)value;
    return value > 0 && value < UINT32_MAX;
}

static bool
parse_user(struct identity *ret, const char *text)
{
    const char *end;

    ret->change = true;
    return parse_id(text, &end, &ret->uid) && *end == ':' && parse_id(end + 1, &end, &ret->gid) &&
           *end == '\0';
}

static bool
parse_flag(const char *text, bool *ret)
{
    static const char *const yes[] = { "1", "true", "yes", "on" };
    static const char *const no[] = { "", "0", "false", "no", "off" };
    size_t i;

    for (i = 0; i < SBX_COUNT(yes); i++) {
        if (strcmp(text, yes[i]) == 0) {
            *ret = true;
            return true;
        }
    }
    for (i = 0; i < SBX_COUNT(no); i++) {
        if (strcmp(text, no[i]) == 0) {
            *ret = false;
            return true;
        }
    }
    return false;
}

static bool
is_production(const char *env)
{
    static const char *const names[] = { "dev", "development", "local", "test" };
    size_t i;

    for (i = 0; i < SBX_COUNT(names); i++) {
        if (strcmp(env, names[i]) == 0) {
            return false;
        }
    }
    return true;
}

static const char *
env_or(const char *name, const char *fallback)
{
    const char *value = getenv(name);

    return value == NULL || value[0] == '\0' ? fallback : value;
}

static bool
parse_arguments(struct options *ret, int argc, char **argv, char *why, size_t why_size)
{
    int i;

    for (i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;

        if (strcmp(argv[i], "--help") == 0) {
            ret->help = true;
        } else if (strcmp(argv[i], "--version") == 0) {
            ret->version = true;
        } else if (strcmp(argv[i], "--inside") == 0) {
            ret->inside = true;
        } else if (strcmp(argv[i], "--nested") == 0) {
            ret->inside = true;
            ret->nested = true;
        } else if (strcmp(argv[i], "--user") == 0 && has_value) {
            if (!parse_user(&ret->identity, argv[++i])) {
                return refuse(why, why_size, "--user %s: must be UID:GID, neither of them 0", argv[i]);
            }
        } else if (strcmp(argv[i], "--zygote") == 0 && i + 2 < argc) {
            ret->zygote = argv[++i];
            ret->modules = argv[++i];
        } else if (strcmp(argv[i], "--opt-dir") == 0 && has_value) {
            ret->opt_dir = argv[++i];
#ifdef SANDBOX_MUTANT
        } else if (strcmp(argv[i], "--walls-off") == 0 && has_value) {
            if (!sbx_walls_off_add(argv[++i])) {
                return refuse(why, why_size, "--walls-off: no such wall");
            }
#endif
        } else {
            return refuse(why, why_size, "%s: unknown option, or its value is missing", argv[i]);
        }
    }
    return true;
}

bool
options_parse(struct options *ret, int argc, char **argv, char *why, size_t why_size)
{
    const char *bypass;

    *ret = (struct options){ .opt_dir = "/opt/sandbox" };
    if (!parse_arguments(ret, argc, argv, why, why_size)) {
        return false;
    }
    if (ret->help || ret->version || ret->zygote != NULL) {
        return true;
    }
    if (ret->inside) {
        ret->identity = (struct identity){ .change = true, .uid = 1000, .gid = 1000 };
        return true;
    }

    bypass = env_or("SESSION_AGENT_AUTH_BYPASS", "");
    ret->address = env_or("SESSION_AGENT_ADDR", "127.0.0.1:9000");
    ret->workspace_root = env_or("WORKSPACE_ROOT", "/workspace");
    ret->env_name = env_or("ENV", "production");
    if (!parse_flag(bypass, &ret->auth_bypass)) {
        return refuse(why, why_size, "SESSION_AGENT_AUTH_BYPASS=%s: must be 1 or 0", bypass);
    }
    if (ret->auth_bypass && is_production(ret->env_name)) {
        return refuse(why, why_size, "SESSION_AGENT_AUTH_BYPASS is refused with ENV=%s", ret->env_name);
    }
    if (ret->workspace_root[0] != '/') {
        return refuse(why, why_size, "WORKSPACE_ROOT=%s: must be an absolute path", ret->workspace_root);
    }
    /* Code of a tenant never runs as root, and an agent that shares its user with the code could be killed by
     * it. */
    if (geteuid() == 0 && !ret->identity.change) {
        return refuse(why, why_size, "started as root: say with --user UID:GID whom the code runs as");
    }
    if (geteuid() != 0 && ret->identity.change) {
        return refuse(why, why_size, "--user: only root can run code as another user");
    }
    return true;
}
