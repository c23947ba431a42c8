"""The weakly supervised detector: WSDDN, OICR and MIST."""
