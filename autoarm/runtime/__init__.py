"""Files written whole or not at all, and tasks over processes and machines, one thread each."""
