"""What is promised for bad days, tried: crashes, races, faults, bent requests, many machines."""
