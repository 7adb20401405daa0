"""What a shell offers at Tab. Not here: the command that installs it (`desk_commands/completion`)."""
