/* Listing directories with the files that are not in the file system yet. */
#ifndef VARVE_DIRECTORIES_H
#define VARVE_DIRECTORIES_H

#include <dirent.h>

DIR *directory_open(const char *path);
struct dirent *directory_read(DIR *directory);
int directory_close(DIR *directory);
void directory_rewind(DIR *directory);

#endif
