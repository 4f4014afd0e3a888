#include "executor/launcher/overlay.h"

#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "executor/launcher/template.h"
#include "lib/sbx_wall.h"

_must_check_ int
overlay_layer_new(int *ret_fd, const char *above, const char *below, unsigned attributes)
{
    char lower[PATH_MAX];
    /* Whatever attributes the image's files carry, an overlay of somebody else's included, mean nothing here. */
    const char *const options[] = { "lowerdir",     lower,      "index",    "off", "xino", "off",
                                    "redirect_dir", "nofollow", "metacopy", "off", NULL };
    int n = snprintf(lower, sizeof(lower), "%s:%s", above, below);

    if (n < 0 || (size_t)n >= sizeof(lower)) {
        return -ENAMETOOLONG;
    }
    return template_fs_new(ret_fd, "overlay", options, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | attributes);
}

_must_check_ int
overlay_new(struct overlay *ret, const struct settings *settings, const struct settings_template *template)
{
    char root[sizeof(TEMPLATE_DIR) + LAUNCH_TEMPLATE_LEN], usr[sizeof(root) + sizeof("/usr")];
    struct overlay overlay = OVERLAY_NULL;
    int r;

    *ret = overlay;
    /* The last two are nothing that an overlay without a writable layer, and without submounts, can leave out. */
    if (!settings->own_inodes || sbx_wall_is_off(SBX_WALL_OWN_INODES) || sbx_wall_is_off(SBX_WALL_OWN_ROOT) ||
        sbx_wall_is_off(SBX_WALL_READ_ONLY_ROOT)) {
        return 0;
    }
    (void)snprintf(root, sizeof(root), TEMPLATE_DIR "%s", template->name); /* sized for it */
    (void)snprintf(usr, sizeof(usr), "%s/usr", root);                      /* as above */
    /* Its dev/ is shown once more before it is nodev. */
    r = overlay_layer_new(&overlay.root, TEMPLATE_EMPTY_DIR, root, 0);
    if (r == 0) {
        r = overlay_layer_new(&overlay.usr,
                              strcmp(template->root, "/") == 0 ? TEMPLATE_HIDE_DIR : TEMPLATE_EMPTY_DIR, usr,
                              MOUNT_ATTR_NODEV);
    }
    if (r < 0) {
        overlay_deinit(&overlay);
        return r;
    }
    *ret = overlay;
    return 0;
}

void
overlay_deinit(struct overlay *overlay)
{
    if (overlay->root >= 0) {
        close(overlay->root);
    }
    if (overlay->usr >= 0) {
        close(overlay->usr);
    }
    *overlay = (struct overlay)OVERLAY_NULL;
}

_must_check_ int
overlay_probe(const struct settings *settings)
{
    struct overlay overlay;
    int r = 0;

    for (unsigned i = 0; i < settings->n_templates && r == 0; i++) {
        r = overlay_new(&overlay, settings, &settings->templates[i]);
        overlay_deinit(&overlay);
    }
    return r;
}
