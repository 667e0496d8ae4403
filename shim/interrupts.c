#include "shim.h"

/*
 * Whether the server wants a backend to give up what it does (miscadmin.h). The server looks by itself only where it can stop;
 * in the midst of a read that is nowhere, and a read ends when storage answers, whenever that is.
 */

static const volatile int *query_cancel;
static const volatile int *process_end;
static const volatile uint32_t *critical_sections;

void interrupts_find(void)
{
  query_cancel = system_symbol("QueryCancelPending");
  process_end = system_symbol("ProcDiePending");
  critical_sections = system_symbol("CritSectionCount");
}

bool interrupts_are_pending(void)
{
  if (query_cancel == NULL || process_end == NULL || critical_sections == NULL) return false;
  /* There a read that fails would end the whole server. */
  return (*query_cancel || *process_end) && *critical_sections == 0;
}
