/* Rendering: a table for people, JSON for programs. */
#include <string.h>

#include "sbx_host.h"
#include "sbx_jsonw.h"

uint64_t
sbx_host_missing(const struct sbx_host_report *report)
{
    uint64_t missing = 0;

    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        if (report->walls[i].state != SBX_WALL_ENFORCED && report->walls[i].state != SBX_WALL_WEAKER) {
            missing |= SBX_WALL_BIT(i);
        }
    }
    return missing & report->required;
}

static void
table_walls(struct sbx_buf *out, const struct sbx_host_report *report)
{
    sbx_buf_printf(out, "%-18s %-9s %-9s %s\n", "WALL", "STATE", "REQUIRED", "WHAT IT STOPS");
    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        const struct sbx_wall_found *found = &report->walls[i];
        enum sbx_wall wall = (enum sbx_wall)i;

        sbx_buf_printf(out, "%-18s %-9s %-9s %s\n", sbx_wall_name(wall), sbx_wall_state_name(found->state),
                       report->required & SBX_WALL_BIT(i) ? "yes" : "no", sbx_wall_stops(wall));
        if (found->state != SBX_WALL_ENFORCED) {
            sbx_buf_printf(out, "%18s why: %s\n%18s do:  %s\n", "",
                           found->why[0] != '\0' ? found->why : "nobody could be asked", "",
                           sbx_wall_remedy(wall));
        }
    }
}

static void
table_tiers(struct sbx_buf *out, const struct sbx_host_report *report)
{
    sbx_buf_printf(out, "\n%-18s %s\n", "TIER", "OFFERED");
    for (unsigned i = SBX_ISOLATION_NONE + 1; i < SBX_N_ISOLATIONS; i++) {
        const struct sbx_host_tier *tier = &report->tiers[i];

        sbx_buf_printf(out, "%-18s %s", sbx_isolation_name((enum sbx_isolation)i),
                       tier->offered ? "yes" : "no");
        if (tier->offered && tier->version[0] != '\0') {
            sbx_buf_printf(out, ", %s, platform %s", tier->version, tier->platform);
        } else if (!tier->offered && tier->why[0] != '\0') {
            sbx_buf_printf(out, ": %s", tier->why);
        }
        sbx_buf_putc(out, '\n');
    }
}

void
sbx_host_table(struct sbx_buf *out, const struct sbx_host_report *report)
{
    uint64_t missing = sbx_host_missing(report);
    char names[1024];

    if (report->unasked != NULL) {
        sbx_buf_printf(out, "The walls are not known: %s\n", report->unasked);
    } else {
        sbx_buf_printf(out, "Walls, tried by %s%s%s\n\n", report->asked,
                       report->cgroup[0] != '\0' ? "; control groups " : "", report->cgroup);
        table_walls(out, report);
        table_tiers(out, report);
    }
    sbx_buf_printf(out, "\n%-34s %-5s %s\n", "HOST", "FINE", "VALUE");
    for (unsigned i = 0; i < report->n_advice; i++) {
        const struct sbx_host_advice *advice = &report->advice[i];

        sbx_buf_printf(out, "%-34s %-5s %s\n", advice->name, advice->fine ? "yes" : "no", advice->value);
        if (!advice->fine) {
            sbx_buf_printf(out, "%34s do: %s\n", "", advice->remedy);
        }
    }
    if (report->unasked == NULL) {
        sbx_buf_printf(out, "\n%s%s\n",
                       missing == 0 ? "Every required wall holds." : "Required and missing: ",
                       missing == 0 ? "" : sbx_walls_text(missing, names, sizeof(names)));
    }
}

static void
json_walls(struct sbx_jsonw *w, const struct sbx_host_report *report)
{
    sbx_jsonw_array(w, "walls");
    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        const struct sbx_wall_found *found = &report->walls[i];
        enum sbx_wall wall = (enum sbx_wall)i;
        bool fine = found->state == SBX_WALL_ENFORCED;

        sbx_jsonw_object(w, NULL);
        sbx_jsonw_str(w, "wall", sbx_wall_name(wall));
        sbx_jsonw_str(w, "state", sbx_wall_state_name(found->state));
        sbx_jsonw_bool(w, "required", (report->required & SBX_WALL_BIT(i)) != 0);
        sbx_jsonw_str(w, "stops", sbx_wall_stops(wall));
        sbx_jsonw_str(w, "why", fine || found->why[0] == '\0' ? NULL : found->why);
        sbx_jsonw_str(w, "remedy", fine ? NULL : sbx_wall_remedy(wall));
        sbx_jsonw_object_end(w);
    }
    sbx_jsonw_array_end(w);
}

static void
json_tiers(struct sbx_jsonw *w, const struct sbx_host_report *report)
{
    sbx_jsonw_array(w, "tiers");
    for (unsigned i = SBX_ISOLATION_NONE + 1; i < SBX_N_ISOLATIONS; i++) {
        const struct sbx_host_tier *tier = &report->tiers[i];

        sbx_jsonw_object(w, NULL);
        sbx_jsonw_str(w, "tier", sbx_isolation_name((enum sbx_isolation)i));
        sbx_jsonw_bool(w, "offered", tier->offered);
        sbx_jsonw_str(w, "version", tier->version[0] != '\0' ? tier->version : NULL);
        sbx_jsonw_str(w, "platform", tier->platform[0] != '\0' ? tier->platform : NULL);
        sbx_jsonw_str(w, "why", tier->why[0] != '\0' ? tier->why : NULL);
        sbx_jsonw_object_end(w);
    }
    sbx_jsonw_array_end(w);
}

static void
json_missing(struct sbx_jsonw *w, const struct sbx_host_report *report)
{
    uint64_t missing = sbx_host_missing(report);

    sbx_jsonw_array(w, "missing");
    for (unsigned i = 0; i < SBX_N_WALLS; i++) {
        if (missing & SBX_WALL_BIT(i)) {
            sbx_jsonw_str(w, NULL, sbx_wall_name((enum sbx_wall)i));
        }
    }
    sbx_jsonw_array_end(w);
}

void
sbx_host_json(struct sbx_buf *out, const struct sbx_host_report *report)
{
    struct sbx_jsonw w;

    sbx_jsonw_init(&w, out);
    sbx_jsonw_object(&w, NULL);
    sbx_jsonw_bool(&w, "asked", report->unasked == NULL);
    sbx_jsonw_str(&w, "error", report->unasked);
    if (report->unasked == NULL) {
        sbx_jsonw_str(&w, "cgroup", report->cgroup[0] != '\0' ? report->cgroup : NULL);
        json_missing(&w, report);
        json_walls(&w, report);
        json_tiers(&w, report);
    }
    sbx_jsonw_array(&w, "host");
    for (unsigned i = 0; i < report->n_advice; i++) {
        sbx_jsonw_object(&w, NULL);
        sbx_jsonw_str(&w, "name", report->advice[i].name);
        sbx_jsonw_bool(&w, "fine", report->advice[i].fine);
        sbx_jsonw_str(&w, "value", report->advice[i].value);
        sbx_jsonw_str(&w, "remedy", report->advice[i].fine ? NULL : report->advice[i].remedy);
        sbx_jsonw_object_end(&w);
    }
    sbx_jsonw_array_end(&w);
    sbx_jsonw_object_end(&w);
    sbx_buf_putc(out, '\n');
}
