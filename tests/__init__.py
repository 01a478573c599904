"""Every rule of the package, stated as tests. Folders mirror the package; `rules` holds what spans its parts, `kit` what tests are written with."""
