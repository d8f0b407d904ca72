# The workflow is in workflow/Snakefile, where the workflow catalogue looks for it.
include: "workflow/Snakefile"


# An included file does not set the default target.
workflow.default_target = "all"
