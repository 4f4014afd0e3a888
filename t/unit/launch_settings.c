/* The launcher's configuration file: what is taken, what is refused and why. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "executor/launcher/settings.h"
#include "t/unit/tap.h"

#define NEEDED "socket = /run/x/l.sock\nagent = /opt/agent\nopt_dir = /opt/d\nstate_dir = /var/lib/x\n"

static char path[] = "/tmp/launch_settings.XXXXXX";
static char error[SETTINGS_ERROR_LEN];
static struct settings settings;

static int
load(const char *text, size_t len, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_TRUNC);

    if (fd < 0 || write(fd, text, len) != (ssize_t)len || fchmod(fd, mode) < 0) {
        return -1;
    }
    close(fd);
    error[0] = '\0';
    return settings_load(&settings, path, error);
}

static int
load_text(const char *text)
{
    return load(text, strlen(text), 0600);
}

static const char *const refused[] = {
    "",
    "socket = /a\n",
    NEEDED "unknown = 1\n",
    NEEDED "socket = /run/x/other.sock\n",
    NEEDED "no equals sign\n",
    NEEDED "= value\n",
    NEEDED "uid_base = -1\n",
    NEEDED "uid_base = 0x10\n",
    NEEDED "uid_base = 12abc\n",
    NEEDED "uid_base =\n",
    NEEDED "uid_base = 0\n",
    NEEDED "uid_base = 999\n",
    NEEDED "uid_base = 4294967295\n",
    NEEDED "uid_base = 18446744073709551616\n",
    NEEDED "uid_base = 3999999999\n",
    NEEDED "max_sandboxes = 0\n",
    NEEDED "max_sandboxes = 4097\n",
    NEEDED "executor_uid = 200001\n",
    NEEDED "executor_uid = user\n",
    NEEDED "cgroup = v3\n",
    NEEDED "cgroup =\n",
    NEEDED "favordynmods = true\n",
    NEEDED "log_level = loud\n",
    NEEDED "runsc =\n",
    NEEDED "runsc = yes\n",
    NEEDED "runsc = runsc\n",
    NEEDED "runsc = /a/../b\n",
    NEEDED "runsc_platform =\n",
    NEEDED "runsc_platform = xen\n",
    NEEDED "runsc_platform = SYSTRAP\n",
    NEEDED "max_sandboxes = 512\nuid_base = 3999997953\n",
    NEEDED "instance =\n",
    NEEDED "instance = a/b\n",
    NEEDED "instance = ..\n",
    NEEDED "instance = a b\n",
    NEEDED "instance = 0123456789012345678901234567890123\n",
    NEEDED "cgroup_parent = relative\n",
    NEEDED "cgroup_parent = /a/../b\n",
    NEEDED "template.x = /\n",
    NEEDED "template.x.root = relative\n",
    NEEDED "template.x.root =\n",
    NEEDED "template.x.other = /\n",
    NEEDED "template..root = /\n",
    NEEDED "template.a/b.root = /\n",
    NEEDED "template.a.b.root = /\n",
    NEEDED "template.x.inet = maybe\n",
    NEEDED "template.01234567890123456789012345678901.root = /\n",
    "socket = relative\nagent = /a\nopt_dir = /d\nstate_dir = /s\n",
    "socket = /dir/\nagent = /a\nopt_dir = /d\nstate_dir = /s\n",
    "socket =\nagent = /a\nopt_dir = /d\nstate_dir = /s\n",
    "socket = /s\nagent =\nopt_dir = /d\nstate_dir = /s\n",
};

static void
refusals(void)
{
    char many[2048] = NEEDED;
    size_t len = strlen(many);

    for (size_t i = 0; i < SBX_COUNT(refused); i++) {
        is_int(load_text(refused[i]), SETTINGS_E_INVALID, "refused: entry %zu", i);
        ok(error[0] != '\0', "and told why");
    }
    for (int i = 0; i <= SETTINGS_MAX_TEMPLATES; i++) {
        len += (size_t)snprintf(many + len, sizeof(many) - len, "template.t%d.root = /\n", i);
    }
    is_int(load_text(many), SETTINGS_E_INVALID, "too many templates");
    is_int(load(NEEDED "\0", sizeof(NEEDED), 0600), SETTINGS_E_INVALID, "a NUL byte");
    is_int(load(NEEDED, strlen(NEEDED), 0602), SETTINGS_E_INVALID, "a file everybody may write");
    is_int(load(NEEDED, strlen(NEEDED), 0620), SETTINGS_E_INVALID, "a file a group may write");
    is_int(settings_load(&settings, "/", error), SETTINGS_E_INVALID, "a directory");
    is_int(settings_load(&settings, "/nowhere/at/all", error), SETTINGS_E_INVALID, "no file");
    ok(strstr(error, "/nowhere/at/all") != NULL, "which is named");
    is_int(load_text(NEEDED "\n\nbad\n"), SETTINGS_E_INVALID, "a bad line");
    ok(strstr(error, "line 7") != NULL, "whose number is told: %s", error);
}

static void
too_long(void)
{
    static char text[70000];
    char socket[256];

    (void)snprintf(socket, sizeof(socket), "socket = /%0108d\nagent = /a\nopt_dir = /d\nstate_dir = /s\n", 0);
    is_int(load_text(socket), SETTINGS_E_INVALID, "a socket's path longer than the kernel takes");

    memset(text, '#', sizeof(text));
    is_int(load(text, sizeof(text), 0600), SETTINGS_E_INVALID, "a file of 70000 bytes");
}

static void
values(void)
{
    is_int(load_text(NEEDED), 0, "the least");
    is_uint(settings.uid_base, 200000, "uid_base by default");
    is_uint(settings.max_sandboxes, 512, "max_sandboxes by default");
    is_uint(settings.n_templates, 1, "one template by default");
    is_str(settings.templates[0].name, "default", "its name");
    is_str(settings.templates[0].root, "/", "its root");
    ok(settings.templates[0].inet, "with IP sockets");
    ok(settings.templates[0].workspace_exec, "where programs run");
    ok(settings.own_inodes, "own_inodes by default");
    ok(settings.zygote, "zygotes by default");
    is_uint(settings.zygote_forks, 5000, "so many forks of each");
    is_uint(settings.zygote_seconds, 3600, "for so long");
    is_uint(settings.zygote_growth_mib, 64, "until it has so much more memory");
    ok(strstr(settings.templates[0].zygote, ",json,") != NULL, "with a part of the standard library");
    is_uint(settings_zygote_uid(&settings), 200000 + 4 * 512 + 1, "behind the sandboxes' ids");
    ok(settings.favordynmods, "favordynmods by default");
    is_str(settings.runsc, "auto", "runsc by default");
    is_int(settings.runsc_platform, SETTINGS_PLATFORM_AUTO, "its platform by default");
    is_int(load_text(NEEDED "uid_base = 3999997950\nrunsc = /opt/runsc\nrunsc_platform = ptrace\n"), 0,
           "the highest ids");
    is_str(settings.runsc, "/opt/runsc", "runsc named");
    is_int(settings.runsc_platform, SETTINGS_PLATFORM_PTRACE, "and its platform");
    is_int(load_text(NEEDED), 0, "the least again");
    is_str(settings.instance, "default", "instance by default");
    is_int(load_text("# a comment\r\n" NEEDED "  uid_base\t=  300000  \nmax_sandboxes=7\ncgroup = v2\n"
                     "favordynmods = no\nlog_level = debug\ninstance = a-b_1\nexecutor_uid = 1001\n"
                     "template.one.root = /srv/one\ntemplate.two.inet = yes\ntemplate.one.inet = no\n"
                     "template.two.workspace_exec = no\nown_inodes = no\nzygote = no\n"
                     "template.one.zygote.python = json,  a.b_c\ntemplate.two.zygote.python = no\n"),
           0, "everything, oddly spaced");
    is_uint(settings.uid_base, 300000, "uid_base");
    is_uint(settings.max_sandboxes, 7, "max_sandboxes");
    is_int(settings.cgroup, SETTINGS_CGROUP_V2, "cgroup");
    ok(!settings.favordynmods, "favordynmods");
    is_uint(settings.executor_uid, 1001, "executor_uid");
    is_uint(settings.n_templates, 2, "two templates");
    is_str(settings.templates[0].root, "/srv/one", "the first's root");
    is_str(settings.templates[0].zygote, "json,a.b_c", "the first's modules");
    is_str(settings.templates[1].zygote, "", "the second has no zygote");
    ok(!settings.zygote, "nor has any");
    ok(settings.templates[1].inet && !settings.templates[0].inet, "the second's sockets");
    is_str(settings.templates[1].root, "/", "the second's root by default");
}

int
main(void)
{
    int fd = mkstemp(path);

    if (fd < 0) {
        return 1;
    }
    close(fd);
    refusals();
    too_long();
    values();
    unlink(path);
    return done_testing();
}
