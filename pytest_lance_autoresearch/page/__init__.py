"""The morning after, as one page and as pictures: what logs and their archives say, for whoever did not watch."""
