"""Pod networks by CNI plugins (CNI spec 1.0.0): configuration and results are pure, `invoke` runs one plugin, `network` is the seam."""
