/* SPDX-License-Identifier: MIT */
#include "discord/client_private.h"

#define DM_GAP_MAX (60 * CRIER_S)
#define DM_BURST 4
#define QUARANTINE_MAX 86400

/* Opening many in a short time is what gets bots quarantined: a few at once, then one by one, and
 * more slowly each time that Discord minds. */
int64_t client_dm_wait(const struct crier_discord *d, int64_t now)
{
    int64_t at = d->dm_free - DM_BURST * d->dm_gap;
    return at > now ? at : 0;
}

void client_dm_opening(struct crier_discord *d, int64_t now)
{
    d->dm_free = (d->dm_free > now ? d->dm_free : now) + d->dm_gap;
}

void client_dm_opened(struct crier_discord *d)
{
    d->quarantines = 0;
    d->quarantine_until = 0;
    d->dm_gap -= (d->dm_gap - CLIENT_DM_GAP) / 8;
}

void client_dm_too_fast(struct crier_discord *d, int64_t until, const struct crier_err *why)
{
    d->dm_gap = d->dm_gap * 4 < DM_GAP_MAX ? d->dm_gap * 4 : DM_GAP_MAX;
    d->dm_free = until + DM_BURST * d->dm_gap;
    client_tell(d, CRIER_DISCORD_SLOWED, why);
}

void client_quarantine(struct crier_discord *d, int64_t now, int seconds,
                       const struct crier_err *why)
{
    int64_t wait = seconds;
    for (int i = 0; i < d->quarantines && wait < QUARANTINE_MAX; i++)
        wait *= 2;
    d->quarantines++;
    d->quarantine_until = now + (wait < QUARANTINE_MAX ? wait : QUARANTINE_MAX) * CRIER_S;
    d->quarantine_why = *why;
    client_tell(d, CRIER_DISCORD_QUARANTINED, why);
}
