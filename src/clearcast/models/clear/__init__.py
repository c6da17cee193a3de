"""The networks of recipe ``clear``: waves are found on a small picture, grain and impulses on the whole one."""
