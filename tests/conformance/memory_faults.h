/* memory_faults.h - memory that is refused where the test says: of what Trove's own objects ask for, the nth, or all from there
 * on.
 *
 * The linker leads their calls of malloc and its kin here (--wrap). What shared libraries ask for isn't refused: RocksDB and nng
 * end the process without memory (C++ exceptions that nobody catches; a null pointer), so that nothing of Trove's can be judged
 * there. The test's own objects go past it as well: own_memory.h.
 */
#ifndef CONFORMANCE_MEMORY_FAULTS_H
#define CONFORMANCE_MEMORY_FAULTS_H

#include <stdbool.h>

/* From now on the nth is refused (1 is the next; 0: none), and if it is lasting all behind it. Any thread. */
void memory_fault_set(unsigned nth, bool lasting);
/* How many were refused since. */
unsigned memory_faults(void);
/* How many blocks are held that were taken here; where each was taken is said on standard error if `say`. */
unsigned memory_held(bool say);

#endif
