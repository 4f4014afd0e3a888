/* Policies read from a directory: which files, whose they are, and what refuses them all. */
#include "lib/sbx_policy_dir.h"

#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "t/unit/tap.h"

static char top[64];
static char seen[1024]; /* a line of each document */

static void
write_file(const char *name, const char *text)
{
    char path[PATH_MAX];
    char *slash;
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", top, name);
    for (slash = strchr(path + strlen(top) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700); /* there already, mostly */
        *slash = '/';
    }
    file = fopen(path, "we");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
        BAIL_OUT("cannot write %s", path);
    }
}

static void
remove_file(const char *name)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", top, name);
    if (remove(path) != 0) {
        BAIL_OUT("cannot remove %s", path);
    }
}

static int
on_document(void *data, const struct sbx_policy_place *place, struct sbx_policy_doc *doc)
{
    const struct sbx_policy *said = sbx_policy_doc_said(doc);
    size_t len = strlen(seen);
    int *ret = data;

    (void)snprintf(seen + len, sizeof(seen) - len, "%s|%s|%s=%s/%u ", place->tenant, place->app, place->agent,
                   said->id, said->version); /* what has no room fails the comparison */
    free(doc);
    return *ret;
}

static struct sbx_policy_dir_why why;

static int
load(int answer)
{
    seen[0] = why.text[0] = '\0';
    return sbx_policy_dir_load(top, on_document, &answer, &why);
}

static void
test_found(void)
{
    static const char *const expected[] = {
        "||=default/1 ", "acme||=pol_acme/3 ", "acme|web|=web/1 ", "acme||coder=coder/2 ", "lone|a|=a/1 ",
    };
    unsigned i, len = 0;

    is_int(load(0), 0, "an empty directory has no document");
    is_str(seen, "", "none");
    write_file("default.json", "{\"version\":1}");
    write_file("tenants/acme.json", "{\"version\":3,\"id\":\"pol_acme\"}");
    write_file("tenants/acme/apps/web.json", "{\"version\":1}");
    write_file("tenants/acme/agents/coder.json", "{\"version\":2}");
    write_file("tenants/lone/apps/a.json", "{\"version\":1}");
    write_file("tenants/notes.txt", "no document");
    write_file("tenants/.hidden.json", "nor this");
    write_file("tenants/acme/other/x.json", "nor this");
    is_int(load(0), 0, "documents are read: %s", why.text);
    for (i = 0; i < SBX_COUNT(expected); i++) {
        ok(strstr(seen, expected[i]) != NULL, "%s", expected[i]);
        len += (unsigned)strlen(expected[i]);
    }
    is_uint(strlen(seen), len, "and no other: %s", seen);
    ok(strncmp(seen, expected[0], strlen(expected[0])) == 0, "the default comes first");
    is_int(load(-ENOSPC), -ENOSPC, "who takes them may say stop");
    is_str(seen, expected[0], "and no more come");
}

static void
refuses(const char *name, const char *text, const char *message)
{
    write_file(name, text);
    is_int(load(0), SBX_POLICY_DIR_E_BAD, "refused: %s", name);
    ok(strstr(why.text, message) != NULL && strstr(why.text, name) != NULL, "%s", why.text);
    remove_file(name);
}

static void
test_refused(void)
{
    struct sbx_policy_dir_why other;
    char path[PATH_MAX];
    int answer = 0;

    refuses("tenants/bad.json", "{", "ends too early");
    refuses("tenants/bad.json", "", "is not valid");
    refuses("tenants/bad.json", "{}", "at \"/version\": is required");
    refuses("tenants/acme/apps/bad.json", "{\"version\":1,\"egress\":[\"a:0\"]}", "at \"/egress/0\"");
    refuses("tenants/a b.json", "{\"version\":1}", "has a name that no tenant, app or agent can have");
    refuses("tenants/acme/agents/a+b.json", "{\"version\":1}", "has a name that no tenant");
    (void)snprintf(path, sizeof(path), "%s/tenants/acme/apps/dir.json", top);
    if (mkdir(path, 0700) != 0) {
        BAIL_OUT("cannot make %s", path);
    }
    is_int(load(0), SBX_POLICY_DIR_E_BAD, "a directory called as a document");
    ok(strstr(why.text, "is not a regular file") != NULL, "%s", why.text);
    (void)rmdir(path); /* ours, empty */
    if (mkfifo(path, 0600) != 0) {
        BAIL_OUT("cannot make %s", path);
    }
    is_int(load(0), SBX_POLICY_DIR_E_BAD, "a pipe does not hold up the reading");
    (void)unlink(path); /* ours */
    if (symlink("nowhere", path) != 0) {
        BAIL_OUT("cannot make %s", path);
    }
    is_int(load(0), SBX_POLICY_DIR_E_BAD, "a link to nothing is not an absent document");
    ok(strstr(why.text, "vanished") != NULL, "%s", why.text);
    (void)unlink(path); /* ours */
    is_int(sbx_policy_dir_load("/nonexistent", on_document, &answer, &other), SBX_POLICY_DIR_E_BAD,
           "a directory that is not there");
    ok(strstr(other.text, "is not there") != NULL, "%s", other.text);
    is_int(load(0), 0, "the rest is as it was");
}

static void
test_large(void)
{
    char *text = malloc(SBX_POLICY_FILE_MAX + 2);

    if (text == NULL) {
        BAIL_OUT("no memory");
    }
    memset(text, ' ', SBX_POLICY_FILE_MAX + 1);
    text[SBX_POLICY_FILE_MAX + 1] = '\0';
    memcpy(text, "{\"version\":1}", strlen("{\"version\":1}"));
    refuses("tenants/large.json", text, "is larger than");
    text[SBX_POLICY_FILE_MAX] = '\0';
    write_file("tenants/large.json", text);
    is_int(load(0), 0, "one byte less is fine");
    remove_file("tenants/large.json");
    free(text);
}

static void
remove_all(void)
{
    static const char *const made[] = {
        "default.json",
        "tenants/acme.json",
        "tenants/acme/apps/web.json",
        "tenants/notes.txt",
        "tenants/lone/apps/a.json",
        "tenants/acme/agents/coder.json",
        "tenants/.hidden.json",
        "tenants/acme/other/x.json",
        "tenants/acme/other",
        "tenants/acme/apps",
        "tenants/acme/agents",
        "tenants/acme",
        "tenants/lone/apps",
        "tenants/lone",
        "tenants",
    };
    unsigned i;

    for (i = 0; i < SBX_COUNT(made); i++) {
        remove_file(made[i]);
    }
    (void)rmdir(top); /* empty now */
}

int
main(void)
{
    (void)snprintf(top, sizeof(top), "/tmp/sbx-policy-dir-XXXXXX");
    if (mkdtemp(top) == NULL) {
        BAIL_OUT("no directory");
    }
    test_found();
    test_refused();
    test_large();
    remove_all();
    return done_testing();
}
