#include "session-agent/zygote.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/sbx_wall.h"
#include "lib/sbx_zygote.h"
#include "session-agent/environ.h"
#include "session-agent/runtimes.h"

#define LIBRARY "/run/sandbox/fork.so"
#define MAX_PATH 512

/* Where only a zygote's root has room, and nobody but its user may write. */
_must_check_ static int
library_write(void)
{
    int r = 0, fd = open(LIBRARY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0500);

    if (fd < 0) {
        return -errno;
    }
    if (write(fd, zygote_library, zygote_library_len) != (ssize_t)zygote_library_len) {
        r = -EIO;
    }
    (void)close(fd); /* written, or not */
    return r;
}

/*
 * What -I leaves of it is the locale; the rest is what each payload has (environ.c). What is bound late is bound in
 * each slot.
 */
static int
interpreter_exec(char *const *argv)
{
    char *envp[] = { (char[]){ "PATH=/usr/local/bin:/usr/bin:/bin" },
                     (char[]){ "HOME=/workspace" },
                     (char[]){ "TMPDIR=/tmp" },
                     (char[]){ "LANG=C.UTF-8" },
                     (char[]){ "LD_BIND_NOW=1" },
                     (char[]){ "LD_PRELOAD=" LIBRARY },
                     NULL,
                     NULL };

#ifdef SANDBOX_MUTANT
    char names[MAX_PATH], walls_off[MAX_PATH * 2];

    (void)snprintf(walls_off, sizeof(walls_off), SBX_ZYGOTE_WALLS_OFF "=%s",
                   sbx_walls_text(sbx_walls_off, names, sizeof(names))); /* fits */
    envp[6] = walls_off;
#endif
    execve(argv[0], argv, envp);
    return -errno;
}

int
zygote_exec(const struct options *options, const char **ret_what)
{
    struct sbx_field_error err;
    struct runtimes *runtimes = NULL; /* until execve, or the end */
    struct runtime_entry entry;
    _cleanup_(strings_deinit) struct strings argv = { 0 };
    char path[MAX_PATH];
    size_t n_slot, i;
    int r;

    *ret_what = "runtimes.json";
    (void)snprintf(path, sizeof(path), "%s/runtimes.json", options->opt_dir); /* cut is not there */
    r = runtimes_load(&runtimes, path, &err);
    if (r != 0) {
        return r < 0 ? r : -EINVAL;
    }
    n_slot = runtimes_find(runtimes, options->zygote, &entry) ? json_array_size(entry.slot) : 0;
    r = n_slot == 0 || entry.zygote == NULL ? -ENOENT : 0;
    for (i = 0; r == 0 && i + 1 < n_slot; i++) {
        r = strings_add(&argv, json_string_value(json_array_get(entry.slot, i)));
    }
    if (r == 0) {
        r = strings_add(&argv, entry.zygote);
    }
    if (r == 0) {
        r = strings_add(&argv, json_string_value(json_array_get(entry.slot, n_slot - 1)));
    }
    if (r == 0) {
        r = strings_add(&argv, options->modules);
    }
    runtimes_free(runtimes);
    if (r < 0) {
        return r;
    }
    *ret_what = "library";
    r = library_write();
    *ret_what = "interpreter";
    return r < 0 ? r : interpreter_exec(argv.items);
}
