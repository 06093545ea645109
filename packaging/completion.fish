# What fits is known to the program itself.
complete --command attestation_exporter --arguments '(attestation_exporter --completion-bash (commandline --tokenize --current-process --cut-at-cursor)[2..] (commandline --current-token))'
