#include "executor/launcher/settings.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/sbx_buf.h"
#include "lib/sbx_wall.h"

#define SETTINGS_FILE_MAX 65536

enum kind {
    KIND_PATH,
    KIND_NAME,
    KIND_NUMBER,
    KIND_BOOL,
    KIND_CGROUP,
    KIND_LEVEL,
    KIND_RUNSC,
    KIND_PLATFORM
};

struct key {
    const char *name;
    const char *fallback; /* NULL: must be set */
    const char *meaning;
    enum kind kind;
    size_t offset;
    size_t size;  /* of a text */
    uint64_t max; /* of a number */
};

#define TEXT(member) offsetof(struct settings, member), sizeof(((struct settings *)NULL)->member), 0
#define NUMBER(member, maximum) offsetof(struct settings, member), 0, (maximum)

/* What most programs import, and what that imports anyway: 9 MiB, of which a slot's are those that it writes to. */
#define ZYGOTE_MODULES                                                                                       \
    "abc,argparse,ast,base64,bisect,collections,contextlib,copy,csv,dataclasses,datetime,decimal,enum,"      \
    "fractions,functools,glob,hashlib,heapq,inspect,io,itertools,json,math,operator,os,pathlib,random,re,"   \
    "secrets,shutil,signal,socket,statistics,string,struct,subprocess,sys,tempfile,textwrap,threading,time," \
    "traceback,types,typing,urllib.parse,uuid,zlib"

/* Host uids end below the range that kernel and distributions reserve. */
#define UID_MAX_USED 4000000000u

static const struct key keys[] = {
    { "socket", NULL, "where executord connects (SOCK_SEQPACKET)", KIND_PATH, TEXT(socket) },
    { "executor_uid", "0", "the one user that may connect; 0 is root", KIND_NUMBER,
      NUMBER(executor_uid, UID_MAX_USED) },
    { "executor_gid", "0", "group of the socket", KIND_NUMBER, NUMBER(executor_gid, UID_MAX_USED) },
    { "agent", NULL, "the session-agent binary, pid 1 of every sandbox", KIND_PATH, TEXT(agent) },
    { "opt_dir", NULL, "directory with drivers/ and runtimes.json, copied to /opt/sandbox", KIND_PATH,
      TEXT(opt_dir) },
    { "state_dir", NULL, "lock, record of control groups; root's own", KIND_PATH, TEXT(state_dir) },
    { "instance", "default", "tells launchers on one host apart; part of the groups' names", KIND_NAME,
      TEXT(instance) },
    { "uid_base", "200000", "first host user id; each sandbox slot has four", KIND_NUMBER,
      NUMBER(uid_base, UID_MAX_USED) },
    { "max_sandboxes", "512", "slots", KIND_NUMBER, NUMBER(max_sandboxes, SETTINGS_MAX_SANDBOXES) },
    { "cgroup", "auto", "auto, v1 or v2", KIND_CGROUP, NUMBER(cgroup, 0) },
    { "cgroup_parent", "", "group to make the sandboxes' groups in, from the hierarchy's root", KIND_PATH,
      TEXT(cgroup_parent) },
    { "favordynmods", "yes", "take the attach stall of quiet hosts away at start", KIND_BOOL,
      NUMBER(favordynmods, 0) },
    { "runsc", "auto", "auto, no, or the gVisor binary; auto: /usr/bin/runsc or /usr/local/bin/runsc",
      KIND_RUNSC, TEXT(runsc) },
    { "runsc_platform", "auto", "auto (tries systrap, then ptrace), systrap, ptrace or kvm", KIND_PLATFORM,
      NUMBER(runsc_platform, 0) },
    { "own_inodes", "yes", "no: sandboxes share the template's inodes, and so file locks", KIND_BOOL,
      NUMBER(own_inodes, 0) },
    { "spare_networks", "16", "network namespaces kept ready; 0: each sandbox makes its own", KIND_NUMBER,
      NUMBER(spare_networks, SETTINGS_SPARE_NETWORKS_MAX) },
    { "zygote", "yes", "no: no interpreters are forked into sandboxes", KIND_BOOL, NUMBER(zygote, 0) },
    { "zygote_forks", "5000", "after as many a zygote is made anew", KIND_NUMBER,
      NUMBER(zygote_forks, 1000000) },
    { "zygote_seconds", "3600", "and after as long", KIND_NUMBER, NUMBER(zygote_seconds, 31536000) },
    { "zygote_growth_mib", "64", "and after it has grown by as many MiB", KIND_NUMBER,
      NUMBER(zygote_growth_mib, 1000000) },
    { "log_level", "info", "debug, info, warn or error", KIND_LEVEL, NUMBER(log_level, 0) },
};

static bool
name_ok(const char *text, size_t size)
{
    size_t len = strlen(text);

    return len > 0 && len < size && text[0] != '.' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == len;
}

static bool
path_ok(const char *text, size_t size)
{
    size_t len = strlen(text);

    return len < size && (len == 0 || text[0] == '/') && strstr(text, "/../") == NULL;
}

static bool
number_parse(const char *text, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;

    if (*text == '\0' || strlen(text) > 12) {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (!isdigit((unsigned char)*text)) {
            return false;
        }
        value = value * 10 + (uint64_t)(*text - '0');
    }
    if (value > max) {
        return false;
    }
    *ret = value;
    return true;
}

static bool
bool_parse(const char *text, bool *ret)
{
    *ret = strcmp(text, "yes") == 0;
    return *ret || strcmp(text, "no") == 0;
}

static bool
cgroup_parse(const char *text, enum settings_cgroup *ret)
{
    static const char *const names[] = { "auto", "v1", "v2" };

    for (size_t i = 0; i < SBX_COUNT(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum settings_cgroup)i;
            return true;
        }
    }
    return false;
}

static bool
platform_parse(const char *text, enum settings_platform *ret)
{
    for (unsigned i = 0; i < SETTINGS_N_PLATFORMS; i++) {
        if (strcmp(text, settings_platform_name((enum settings_platform)i)) == 0) {
            *ret = (enum settings_platform)i;
            return true;
        }
    }
    return false;
}

static bool
runsc_ok(const char *text, size_t size)
{
    return strcmp(text, "auto") == 0 || strcmp(text, "no") == 0 || (*text == '/' && path_ok(text, size));
}

const char *
settings_platform_name(enum settings_platform platform)
{
    static const char *const names[SETTINGS_N_PLATFORMS] = { "auto", "systrap", "ptrace", "kvm" };

    return names[platform];
}

static bool
text_ok(const struct key *key, const char *text)
{
    switch (key->kind) {
    case KIND_PATH:
        return path_ok(text, key->size);
    case KIND_NAME:
        return name_ok(text, key->size);
    case KIND_RUNSC:
        return runsc_ok(text, key->size);
    case KIND_NUMBER:
    case KIND_BOOL:
    case KIND_CGROUP:
    case KIND_LEVEL:
    case KIND_PLATFORM:
        return false;
    }
    return false;
}

static bool
key_set(const struct key *key, struct settings *settings, const char *text)
{
    void *member = (char *)settings + key->offset;

    switch (key->kind) {
    case KIND_PATH:
    case KIND_NAME:
    case KIND_RUNSC:
        if (!text_ok(key, text)) {
            return false;
        }
        memcpy(member, text, strlen(text) + 1);
        return true;
    case KIND_NUMBER:
        return number_parse(text, key->max, member);
    case KIND_BOOL:
        return bool_parse(text, member);
    case KIND_CGROUP:
        return cgroup_parse(text, member);
    case KIND_LEVEL:
        return journal_level_parse(text, member);
    case KIND_PLATFORM:
        return platform_parse(text, member);
    }
    return false;
}

static struct settings_template *
template_at(struct settings *settings, const char *name, size_t len)
{
    struct settings_template *found;

    for (unsigned i = 0; i < settings->n_templates; i++) {
        found = &settings->templates[i];
        if (strlen(found->name) == len && memcmp(found->name, name, len) == 0) {
            return found;
        }
    }
    if (settings->n_templates == SETTINGS_MAX_TEMPLATES || len == 0 || len >= LAUNCH_TEMPLATE_LEN) {
        return NULL;
    }
    found = &settings->templates[settings->n_templates];
    memcpy(found->name, name, len);
    found->name[len] = '\0';
    if (strchr(found->name, '.') != NULL || !name_ok(found->name, sizeof(found->name))) {
        return NULL;
    }
    memcpy(found->root, "/", 2);
    found->inet = true;
    found->workspace_exec = true;
    memcpy(found->zygote, ZYGOTE_MODULES, sizeof(ZYGOTE_MODULES));
    settings->n_templates++;
    return found;
}

/* "no", or names of modules with commas and spaces between, which are not kept. */
static bool
modules_parse(const char *text, char *ret)
{
    size_t n = 0;

    if (strcmp(text, "no") == 0) {
        ret[0] = '\0';
        return true;
    }
    for (; *text != '\0'; text++) {
        if (*text == ' ' || *text == '\t') {
            continue;
        }
        if (n == SETTINGS_MODULES_LEN - 1 ||
            (!isalnum((unsigned char)*text) && strchr("_.,", *text) == NULL)) {
            return false;
        }
        ret[n++] = *text;
    }
    ret[n] = '\0';
    return n > 0;
}

/* template.<name>.root = directory, .inet and .workspace_exec = yes|no, .zygote.python = modules */
static bool
template_set(struct settings *settings, const char *key, const char *value)
{
    const char *name = key + strlen("template.");
    const char *dot = strchr(name, '.');
    struct settings_template *template;

    if (dot == NULL) {
        return false;
    }
    template = template_at(settings, name, (size_t)(dot - name));
    if (template == NULL) {
        return false;
    }
    if (strcmp(dot, ".inet") == 0) {
        return bool_parse(value, &template->inet);
    }
    if (strcmp(dot, ".workspace_exec") == 0) {
        return bool_parse(value, &template->workspace_exec);
    }
    if (strcmp(dot, ".zygote.python") == 0) {
        return modules_parse(value, template->zygote);
    }
    if (strcmp(dot, ".root") != 0 || *value != '/' || !path_ok(value, sizeof(template->root))) {
        return false;
    }
    memcpy(template->root, value, strlen(value) + 1);
    return true;
}

#ifdef SANDBOX_MUTANT
static bool
walls_off_set(struct settings *settings, const char *value)
{
    if (strlen(value) >= sizeof(settings->walls_off) || !sbx_walls_off_add(value)) {
        return false;
    }
    memcpy(settings->walls_off, value, strlen(value) + 1);
    return true;
}
#endif

static bool
line_set(struct settings *settings, const char *name, const char *value, uint64_t *seen)
{
    if (strncmp(name, "template.", strlen("template.")) == 0) {
        return template_set(settings, name, value);
    }
#ifdef SANDBOX_MUTANT
    if (strcmp(name, "walls_off") == 0) {
        return walls_off_set(settings, value);
    }
#endif
    for (size_t i = 0; i < SBX_COUNT(keys); i++) {
        if (strcmp(name, keys[i].name) != 0) {
            continue;
        }
        if (*seen & (1u << i)) {
            return false;
        }
        *seen |= 1u << i;
        return key_set(&keys[i], settings, value);
    }
    return false;
}

static char *
trim(char *text)
{
    size_t len;

    text += strspn(text, " \t\r");
    len = strlen(text);
    while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL) {
        text[--len] = '\0';
    }
    return text;
}

_must_check_ static int
lines_apply(struct settings *settings, char *text, uint64_t *seen, char *error)
{
    char *next, *equals, *name;

    for (unsigned number = 1; text != NULL; number++, text = next) {
        next = strchr(text, '\n');
        if (next != NULL) {
            *next++ = '\0';
        }
        name = trim(text);
        if (*name == '\0' || *name == '#') {
            continue;
        }
        equals = strchr(name, '=');
        if (equals != NULL) {
            *equals = '\0';
            if (line_set(settings, trim(name), trim(equals + 1), seen)) {
                continue;
            }
        }
        (void)snprintf(error, SETTINGS_ERROR_LEN,
                       "line %u: unknown key, second value or bad value for \"%.64s\"", number, name);
        return SETTINGS_E_INVALID;
    }
    return 0;
}

_must_check_ static int
file_read(const char *path, char *ret, char *error)
{
    struct stat st;
    ssize_t n = 0;
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0 || fstat(fd, &st) < 0) {
        (void)snprintf(error, SETTINGS_ERROR_LEN, "%.128s: %s", path, strerror(errno));
        goto fail;
    }
    /* Whoever writes this file names a program that root starts. */
    if (!S_ISREG(st.st_mode) || (st.st_mode & 022) || (st.st_uid != 0 && st.st_uid != geteuid())) {
        (void)snprintf(error, SETTINGS_ERROR_LEN, "%.128s: must be a file of root that only root can write",
                       path);
        goto fail;
    }
    while (len < SETTINGS_FILE_MAX && (n = read(fd, ret + len, SETTINGS_FILE_MAX - len)) > 0) {
        len += (size_t)n;
    }
    if (n < 0 || len == SETTINGS_FILE_MAX || memchr(ret, '\0', len) != NULL) {
        (void)snprintf(error, SETTINGS_ERROR_LEN, "%.128s: cannot be read, too long or not text", path);
        goto fail;
    }
    ret[len] = '\0';
    close(fd);
    return 0;

fail:
    if (fd >= 0) {
        close(fd);
    }
    return SETTINGS_E_INVALID;
}

static uint64_t
settings_uid_end(const struct settings *settings)
{
    return (uint64_t)settings_helper_uid(settings) + 2;
}

_must_check_ static int
settings_check(const struct settings *settings, char *error)
{
    const char *wrong = NULL;

    if (settings->max_sandboxes == 0) {
        wrong = "max_sandboxes must not be 0";
    } else if (settings->uid_base < 1000 || settings_uid_end(settings) > UID_MAX_USED) {
        wrong = "uid_base must leave room for four ids a sandbox and one a zygote, from 1000 on";
    } else if (settings->executor_uid >= settings->uid_base &&
               settings->executor_uid < settings_uid_end(settings)) {
        wrong = "executor_uid is one of the sandboxes' ids";
    } else if (strrchr(settings->socket, '/')[1] == '\0') {
        wrong = "socket names a directory";
    }
    if (wrong != NULL) {
        (void)snprintf(error, SETTINGS_ERROR_LEN, "%s", wrong);
        return SETTINGS_E_INVALID;
    }
    return 0;
}

_must_check_ int
settings_load(struct settings *ret, const char *path, char *error)
{
    static char text[SETTINGS_FILE_MAX + 1];
    uint64_t seen = 0;

    memset(ret, 0, sizeof(*ret));
    if (file_read(path, text, error) || lines_apply(ret, text, &seen, error)) {
        return SETTINGS_E_INVALID;
    }
    for (size_t i = 0; i < SBX_COUNT(keys); i++) {
        if (seen & (1u << i)) {
            continue;
        }
        if (keys[i].fallback == NULL || !key_set(&keys[i], ret, keys[i].fallback)) {
            (void)snprintf(error, SETTINGS_ERROR_LEN, "%s must be set", keys[i].name);
            return SETTINGS_E_INVALID;
        }
    }
    if (ret->socket[0] == '\0' || ret->agent[0] == '\0' || ret->opt_dir[0] == '\0' ||
        ret->state_dir[0] == '\0') {
        (void)snprintf(error, SETTINGS_ERROR_LEN, "socket, agent, opt_dir and state_dir must not be empty");
        return SETTINGS_E_INVALID;
    }
    if (ret->n_templates == 0 && template_at(ret, "default", strlen("default")) == NULL) {
        return SETTINGS_E_INVALID;
    }
    return settings_check(ret, error);
}

void
settings_default(struct settings *ret)
{
    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < SBX_COUNT(keys); i++) {
        if (keys[i].fallback != NULL) {
            (void)key_set(&keys[i], ret, keys[i].fallback); /* ours, and tried by every start */
        }
    }
}

void
settings_print_keys(FILE *out)
{
    for (size_t i = 0; i < SBX_COUNT(keys); i++) {
        (void)fprintf(out, "  %-14s %-9s %s\n", keys[i].name,
                      keys[i].fallback != NULL ? keys[i].fallback : "(needed)", keys[i].meaning);
    }
    (void)fprintf(out, "  %-30s %s\n  %-30s %s\n  %-30s %s\n", "template.<name>.root",
                  "directory whose usr/ the sandbox sees (/)", "template.<name>.inet",
                  "no: no IP sockets, not even on lo (yes)", "template.<name>.workspace_exec",
                  "no: no programs run from writable directories (yes)");
    (void)fprintf(out, "  %-30s %s\n", "template.<name>.zygote.python",
                  "modules that its Python zygote imports, or no (a part of the standard library)");
}
