/*
 * The file systems. At start the launcher leaves the host's tree for a read-only
 * one of its own that holds /proc and, per template, everything of a sandbox's
 * root that never changes. A sandbox adds two file systems to a copy of that:
 * its /proc and one tmpfs for all that it may write.
 */
#pragma once

#include <sys/types.h>

#include "executor/launcher/overlay.h"

struct mounts_gvisor_files;

/* Builds templates and enters them; everything by name on the host must be done before. `gvisor`: NULL without that
 * tier. `ret_stage` says where. */
_must_check_ int mounts_prepare(const struct settings *settings, const struct mounts_gvisor_files *gvisor,
                                const char **ret_stage);
/* In a mount namespace of its own: a sandbox whose root is given needs nothing of the templates. */
_must_check_ int mounts_leave_templates(const struct settings *settings);
/* Mounts and unmounts an empty v1 hierarchy with favordynmods: afterwards attaching to a group no longer
 * stalls. */
_must_check_ int mounts_favor_dynmods(void);

struct mounts_usage {
    uint64_t bytes;
    uint64_t files, max_files; /* directories count as files */
};

/* The tmpfs of one sandbox, mounted nowhere; its directories belong to `uid`. `bytes` and a little more fit into it, so
 * that reaching past `bytes` can be seen. */
_must_check_ int mounts_disk_new(int *ret_fd, uid_t uid, uint64_t bytes);
_must_check_ int mounts_disk_resize(int disk_fd, uint64_t bytes);
_must_check_ int mounts_disk_used(int disk_fd, struct mounts_usage *ret);

/* In the child: root of the sandbox. *ret_terminals is its pseudo-terminals' file system, mounted nowhere. */
_must_check_ int mounts_apply(const struct settings_template *template, const struct overlay *overlay,
                              int disk_fd, int *ret_terminals, const char **ret_stage);

/* In a zygote, before it is one: the template, and room for one small file of `uid`. */
_must_check_ int mounts_apply_zygote(const struct overlay *overlay, uid_t uid);

/* Adds MOUNT_ATTR_* to the one mount at `fd`. */
_must_check_ int mounts_restrict(int fd, uint64_t attributes);

/* For mounts_gvisor.c too, in the child. A copy of the mount at `path`, free of the lock that mounts of a foreign user
 * namespace carry. */
_must_check_ int mounts_clone(int *ret_fd, const char *path, unsigned flags);
_must_check_ int mounts_attach(int fd, const char *path);
/* Through a /proc of the own user namespace: how many more can be made below it. One digit. */
_must_check_ int mounts_user_namespaces(int proc, const char *most);
/* The working directory becomes the root; nothing of the old one stays. */
_must_check_ int mounts_root_enter(void);
