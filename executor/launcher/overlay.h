/*
 * A sandbox's own inodes. Locks, leases and watches belong to an inode, so two
 * sandboxes that open one file can signal to each other and one can see the other
 * work. An overlay over the template gives each sandbox inodes that nobody else
 * has; what a file holds stays in one page cache.
 */
#pragma once

#include "executor/launcher/settings.h"

struct overlay {
    int root, usr; /* mounted nowhere; -1: the template's own inodes are used */
};

#define OVERLAY_NULL                                                                                         \
    {                                                                                                        \
        .root = -1, .usr = -1                                                                                \
    }

/* In the launcher's own tree. Stays null when the settings do not want them. */
_must_check_ int overlay_new(struct overlay *ret, const struct settings *settings,
                             const struct settings_template *template);
/*
 * One read-only overlay, mounted nowhere: two layers at least, says the kernel, where none can be written, so
 * `above` is an empty directory or one of whiteouts. Neither path may hold a colon.
 */
_must_check_ int overlay_layer_new(int *ret_fd, const char *above, const char *below, unsigned attributes);
void overlay_deinit(struct overlay *overlay);
/* At start: whether the kernel can do it over every template. */
_must_check_ int overlay_probe(const struct settings *settings);
