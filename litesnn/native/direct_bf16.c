/* direct.c with products of 16-bit numbers. */

#define BF16
#include "direct.c"
