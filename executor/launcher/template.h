/*
 * What sandboxes of one template share: a read-only root with usr/ of the template's
 * directory, generated etc/, devices and the drivers; and what stands in for the
 * dangerous parts of /proc. Built once, in the launcher's own mount namespace.
 */
#pragma once

#include "executor/launcher/settings.h"

/* In the launcher's own root. */
#define TEMPLATE_DIR "/t/"
#define TEMPLATE_NEW_ROOT "/new"
#define TEMPLATE_DISK_DIR "/disk"
#define TEMPLATE_EMPTY_DIR "/empty"
/* Over the host's own usr/: whiteouts of what holds tokens of package managers. */
#define TEMPLATE_HIDE_DIR "/hide"
/* In each sandbox's root, where /workspace covers them when they have served. */
#define TEMPLATE_MASK_FILE "workspace/file"
#define TEMPLATE_MASK_DIR "workspace/dir"
#define TEMPLATE_MASK_BOOT_ID "workspace/boot_id"
/* Empty; in the gVisor tier the agent begins there. */
#define TEMPLATE_AGENT_DIR "opt/sandbox/agent"

struct template_mask {
    const char *name; /* beneath /proc; NULL ends the table */
    bool is_dir;
};

/* A new instance of a file system, mounted nowhere. `options` are name, value, ..., NULL. */
_must_check_ int template_fs_new(int *ret_fd, const char *type, const char *const *options,
                                 unsigned attributes);
/* Fills the directory `root` (of the host's tree, a tmpfs of ours) for one template. */
_must_check_ int template_build(int root, const struct settings *settings,
                                const struct settings_template *template, const char **ret_stage);
/* Notes what is to be covered of this kernel's; `proc` is a whole /proc. */
_must_check_ int template_masks_probe(int proc);
const struct template_mask *template_masks(void);
