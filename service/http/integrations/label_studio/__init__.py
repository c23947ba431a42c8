"""The ML backend of Label Studio: its contract, its labelling interface, its tasks and regions."""
