#include "executor/audit_command.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "executor/secret_file.h"
#include "executor/store/audit_verify.h"
#include "lib/sbx_sign.h"

struct keys {
    struct sbx_sign_key *items[AUDIT_COMMAND_KEYS];
    unsigned n;
};

static void
keys_deinit(struct keys *keys)
{
    while (keys->n > 0) {
        keys->n--;
        keys->items[keys->n] = sbx_sign_free(keys->items[keys->n]);
    }
}

static int
command_fail(const char *what, const char *object, int r)
{
    (void)fprintf(stderr, "executord: %s %s: %s\n", what, object, strerror(-r)); /* nowhere else to say it */
    return EXIT_USAGE;
}

static int
keys_read(struct keys *keys, const struct audit_command *command)
{
    for (unsigned i = 0; i < command->n_public_keys; i++) {
        struct secret pem;
        int r;

        r = secret_file_read(&pem, command->public_keys[i]);
        if (r == 0) {
            r = sbx_sign_public(&keys->items[keys->n], pem.data, pem.len);
            keys->n += r == 0;
        }
        if (r) {
            return command_fail("public key", command->public_keys[i], r);
        }
    }
    return EXIT_FINE;
}

static void
report_fine(const struct audit_report *report)
{
    printf("ok: %llu events in %llu segments%s; last %llu %s\n", (unsigned long long)report->lines,
           (unsigned long long)report->segments, report->has_index ? ", as the index says" : "",
           (unsigned long long)report->head.seq, report->head.hash);
    if (report->heads > 0) {
        printf("heads: %llu, %s\n", (unsigned long long)report->heads,
               report->believed ? "signed by a key that is believed" : "not checked against a key");
    }
    if (report->tombstones > 0) {
        printf("erased: the bodies of %llu events, as the log says%s\n",
               (unsigned long long)report->tombstones,
               report->pending > 0 ? "; some are still to go from the files" : "");
    }
}

static void
report_broken(const struct audit_report *report)
{
    printf("%s: %s", audit_fault_name(report->fault), report->file);
    if (report->line > 0) {
        printf(" line %llu", (unsigned long long)report->line);
    }
    printf(", event %llu: %s (%llu events before it are in order)\n", (unsigned long long)report->seq,
           report->detail, (unsigned long long)report->lines);
}

int
audit_command_verify(const struct audit_command *command)
{
    _cleanup_(keys_deinit) struct keys keys = { 0 };
    struct audit_verify_spec spec = { .dir = command->dir, .database = command->database };
    struct audit_report report;
    int r;

    r = keys_read(&keys, command);
    if (r != EXIT_FINE) {
        return r;
    }
    spec.keys = keys.items;
    spec.n_keys = keys.n;
    r = audit_verify_with(&spec, &report);
    if (r < 0) {
        (void)fprintf(stderr, "executord: audit log in %s: %s: %s\n", command->dir, report.detail,
                      strerror(-r)); /* nowhere else to say it */
        return EXIT_USAGE;
    }
    if (r == 0) {
        report_fine(&report);
        return EXIT_FINE;
    }
    report_broken(&report);
    return EXIT_BROKEN;
}

/* O_EXCL: a key that is there may have signed something. */
static int
key_file_write(const char *path, const struct sbx_buf *pem)
{
    ssize_t n;
    int fd, r;

    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
    if (fd < 0) {
        return -errno;
    }
    n = write(fd, pem->data, pem->len);
    r = n < 0 ? -errno : (size_t)n != pem->len ? -EIO : fsync(fd) < 0 ? -errno : 0;
    close(fd);
    if (r) {
        (void)unlink(path); /* half a key */
    }
    return r;
}

int
audit_command_keygen(const char *path)
{
    _cleanup_(sbx_sign_freep) struct sbx_sign_key *key = NULL;
    struct sbx_buf pem = SBX_BUF_INIT(SBX_SIGN_PEM_MAX), public = SBX_BUF_INIT(SBX_SIGN_PEM_MAX);
    int r;

    r = sbx_sign_generate(&key, &pem);
    r = r ? r : sbx_sign_write_public(key, &public);
    r = r ? r : key_file_write(path, &pem);
    if (pem.data != NULL) {
        explicit_bzero(pem.data, pem.cap);
    }
    sbx_buf_deinit(&pem);
    if (r == 0) {
        (void)fprintf(stderr, "key_id %s\n",
                      sbx_sign_id(key));  /* for a person; the key itself is for a file */
        (void)fputs(public.data, stdout); /* stdout gone: nobody to tell */
    }
    sbx_buf_deinit(&public);
    return r ? command_fail("key", path, r) : EXIT_FINE;
}
